package crash

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/faultproxy"
	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/internal/redisproc"
	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/migrate/coordinator"
)

// TestOlderTargetIsCopiedByType moves an app to a target that takes no payloads of
// the source: it has no RESTORE, or finds their version too new, as an older one
// does. What cannot be restored is written by type.
func TestOlderTargetIsCopiedByType(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(*testing.T) *place{
		"no RESTORE":        func(t *testing.T) *place { return managed(t, "restore") },
		"a version too new": older,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			turn(t)
			target := start(t)
			m := begin(t, standalone(t, redistest.Options{}), target)
			m.seed(protocol.Source, 50)
			m.seedGroups(20)
			m.app(1)
			m.shadow()
			m.work(10, within)
			if n := refusals(t, target.servers[0], "restore"); n < 2 { // the trial's broken payload is one
				t.Errorf("RESTORE was refused %d times; want the target to take none", n)
			}
			m.cutover(m.operator(), 100)
			m.equal()
			m.rollback(m.operator())
			m.work(10, within)
			unhurt(t, m.verdict())
		})
	}
}

// refusals counts how often a server has refused a command, for the user's rights
// or for what it was given.
func refusals(t *testing.T, s *redisproc.Server, command string) (n int) {
	t.Helper()
	for line := range strings.Lines(fmt.Sprint(redistest.Do(t, s, "INFO", "commandstats"))) {
		if rest, ok := strings.CutPrefix(line, "cmdstat_"+command+":"); ok {
			_, _ = fmt.Sscanf(rest[strings.Index(rest, "rejected_calls="):], "rejected_calls=%d", &n)
			failed := 0
			_, _ = fmt.Sscanf(rest[strings.Index(rest, "failed_calls="):], "failed_calls=%d", &failed)
			n += failed
		}
	}
	return n
}

// older is a server that refuses payloads of the version that the source writes: on
// the way to it they are given one that it does not know yet. It refuses them by
// itself, in its own words.
func older(t *testing.T) *place {
	t.Helper()
	p := standalone(t, redistest.Options{})
	proxy := redistest.Proxy(t, p.servers[0])
	proxy.Watch(func(_ *faultproxy.Link, chunk []byte) bool {
		const behind = "\r\n$7\r\nreplace\r\n" // what stands behind a payload
		for at := 0; ; at++ {
			i := bytes.Index(chunk[at:], []byte(behind))
			if i < 0 {
				return true
			}
			at += i
			if footer := at - 10; footer >= 0 && chunk[footer] > 6 && chunk[footer+1] == 0 { // 6 is that of the trial payload
				chunk[footer] = 0x7f
			}
		}
	})
	p.env = func(prefix string) map[string]string {
		return map[string]string{prefix + "_URL": "redis://" + proxy.Addr()}
	}
	return p
}

// seedGroups writes streams with groups, of which some entries are pending and some
// deleted.
func (m *migration) seedGroups(n int) {
	m.t.Helper()
	c := open(m.t, config(m.t, m.env, protocol.Source))
	defer c.Close()
	ctx := m.t.Context()
	for i := range n {
		key := fmt.Sprintf("live:{g%d}:x", i)
		for j := range 5 {
			c.XAdd(ctx, &redis.XAddArgs{Stream: key, ID: fmt.Sprintf("1-%d", j+1), Values: []any{"j", j}})
		}
		c.XGroupCreate(ctx, key, "g", "0")
		c.XReadGroup(ctx, &redis.XReadGroupArgs{Group: "g", Consumer: "c", Streams: []string{key, ">"}, Count: 3})
		c.XAck(ctx, key, "g", "1-1")
		if err := c.XDel(ctx, key, "1-5").Err(); err != nil {
			m.t.Fatal(err)
		}
	}
}

// equal waits until every key is the same on both sides.
func (m *migration) equal() {
	m.t.Helper()
	c := m.operator()
	seldom(m.t, within, func() error {
		r, err := c.Verify(m.t.Context(), coordinator.VerifyRequest{})
		if err != nil {
			return fmt.Errorf("%w: %+v", err, r.Examples)
		}
		return nil
	})
}
