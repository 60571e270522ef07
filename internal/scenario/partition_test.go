package scenario

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/transload/transload/internal/drill"
	"github.com/transload/transload/internal/redisproc"
	"github.com/transload/transload/internal/redistest"
)

// maxLag is the min-replicas-max-lag of these tests, in seconds. The plan's 10
// would only make them longer.
const maxLag = 2

// guarded are the settings that keep an isolated primary from taking writes.
func guarded() []string {
	return []string{"--min-replicas-to-write", "1", "--min-replicas-max-lag", fmt.Sprint(maxLag), "--repl-ping-replica-period", "1"}
}

// A partition is a set whose primary can be cut off from everybody else but who
// holds a connection to it already.
type partition struct {
	how       string // by what it is cut
	env       map[string]string
	inside    func() (*redisproc.Conn, error) // connects from the primary's side
	cut, heal func() error
}

// do sends the primary one command from its side of the cut.
func (p *partition) do(ctx context.Context, args ...string) (any, error) {
	c, err := p.inside()
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.Do(ctx, args...)
}

// TestPartitionByPassword keeps the other way of cutting working where namespaces
// are to be had.
func TestPartitionByPassword(t *testing.T) {
	t.Parallel()
	playPartition(t, byPassword(t))
}

// TestNetworkPartition is the plan's fourth scenario: cut off from replicas and
// sentinels, the primary refuses writes within min-replicas-max-lag; a replica is
// promoted, and the app writes there; when the network is whole again the old
// primary is a replica. At no time do two primaries take writes for good: what the
// isolated one acknowledged before it began to refuse is all that can be lost.
func TestNetworkPartition(t *testing.T) {
	t.Parallel()
	playPartition(t, newPartition(t))
}

func playPartition(t *testing.T, p *partition) {
	t.Logf("the primary is cut off by %s", p.how)
	a := run(t, p.env)
	a.hurt(p.cut)

	refused := p.untilRefused(t)
	if took := refused.Sub(a.fault); took > (maxLag+10)*time.Second {
		t.Errorf("the isolated primary refused writes after %v; want %d seconds, and what a busy machine adds", took, maxLag)
	}
	promoted := a.moment(drill.Promoted)
	t.Logf("%6d ms  the isolated primary refuses writes", refused.Sub(a.fault).Milliseconds())
	t.Logf("%6d ms  %s is promoted", promoted.At.Sub(a.fault).Milliseconds(), promoted.Addr)
	a.answeredSince(later(promoted.At, refused))
	if err := p.write(t.Context()); err == nil {
		t.Error("the isolated primary takes writes again, beside the new one")
	}

	if err := p.heal(); err != nil {
		t.Fatal(err)
	}
	redistest.Eventually(t, within, func() error {
		role, err := p.do(t.Context(), "ROLE")
		if list, _ := role.([]any); err == nil && (len(list) < 3 || net.JoinHostPort(fmt.Sprint(list[1]), fmt.Sprint(list[2])) != promoted.Addr) {
			err = fmt.Errorf("the old primary says %v; want that it follows %s", role, promoted.Addr)
		}
		return err
	})
	_, _, loss := a.end()
	if loss.Lost > 0 && loss.Latest.After(refused) {
		t.Errorf("lost %d writes, the last acknowledged %v after the isolated primary refused: two took writes at a time", loss.Lost, loss.Latest.Sub(refused))
	}
}

// write tries one write at the primary, as a client on its side of the cut.
func (p *partition) write(ctx context.Context) error {
	_, err := p.do(ctx, "SET", "inside", "1")
	return err
}

// untilRefused writes until the primary refuses it for want of replicas.
func (p *partition) untilRefused(t *testing.T) (at time.Time) {
	t.Helper()
	redistest.Eventually(t, within, func() error {
		err := p.write(t.Context())
		if e, ok := errors.AsType[redisproc.ReplyError](err); ok && len(e) > 10 && e[:10] == "NOREPLICAS" {
			at = time.Now()
			return nil
		}
		return fmt.Errorf("the isolated primary answers a write with %v; want NOREPLICAS", err)
	})
	return at
}

// newPartition cuts a cable between network namespaces, where the machine lets
// us, else by taking away the password of all but the app.
func newPartition(t *testing.T) *partition {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a redis-server: left out by -short")
	}
	p, err := byNamespace(t)
	if err == nil {
		return p
	}
	t.Logf("no network namespaces (%v): connections are cut and refused instead", err)
	return byPassword(t)
}

// byPassword cuts all connections of replicas and sentinels, and changes the
// password that they come back with. The app has a user of its own, which works on:
// it is on the primary's side of the cut.
func byPassword(t *testing.T) *partition {
	t.Helper()
	const password = "inside"
	set := redistest.Sentinel(t, redistest.Options{Username: "app", Password: password, Args: guarded()})
	primary := set.Nodes[0]
	hand := redistest.Conn(t, primary) // logged in before the password changes
	do := func(args ...string) error {
		_, err := hand.Do(context.WithoutCancel(t.Context()), args...)
		return err
	}
	return &partition{
		how: "a change of password and the end of all connections of replicas and sentinels",
		env: set.Env("REDIS"),
		inside: func() (*redisproc.Conn, error) {
			nc, err := net.Dial("unix", primary.Socket())
			if err != nil {
				return nil, err
			}
			c := redisproc.NewConn(nc)
			_, err = c.Do(t.Context(), "AUTH", "app", password)
			return c, err
		},
		cut: func() error {
			return errors.Join(do("CONFIG", "SET", "requirepass", "nobody has this"), do("CLIENT", "KILL", "TYPE", "replica"),
				do("CLIENT", "KILL", "TYPE", "pubsub"), do("CLIENT", "KILL", "USER", "default"))
		},
		heal: func() error { return do("CONFIG", "SET", "requirepass", password) },
	}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
