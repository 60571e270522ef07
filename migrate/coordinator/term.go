package coordinator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/control"
	"github.com/transload/transload/internal/keysync"
	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/topology"
)

// beatEvery is how often the lock is renewed, as members refresh their leases.
const beatEvery = time.Second

// errLock refuses a connection whose owner does not hold the lock. It is a
// leaf: go-redis hands it on unwrapped.
var errLock = errors.New("coordinator: the lock is not ours: this connection may write nothing")

// A term is the time in which this process is the coordinator. It holds the lock
// on both sides, and has clients of its own, whose connections can be fenced by
// its name.
type term struct {
	c     *Coordinator
	id    string // of the lock's holder, and in the name of every connection
	log   *slog.Logger
	clock clock
	on    []protocol.Side // where it leads: on both, or on the one that lives
	sides [3]*side        // for records, lock and fences: each script checks the lock
	keys  [3]*copier      // for keys: each connection checks the lock
	verb  string          // for which it leads
	end   context.CancelCauseFunc
	wg    sync.WaitGroup

	desk     *desk
	moving   atomic.Bool // a mover looks after the records
	markers  markers
	settings settings
	looking  sync.Mutex     // for a loss
	lost     [3]atomic.Bool // by side: it came back without its record
	given    [3]atomic.Bool // by side: it was given up in this term
	yield    atomic.Bool    // what is being copied is to end: see halt

	mu      sync.Mutex
	renewed [3]protocol.Lease // when the lock of each side was last known to be ours
	orphans time.Time         // when a copy was left unanswered, and not made harmless since
	recs    [3]control.Reading
	plan    *plan
	syncer  *syncer // once there is a plan

	lastMove MoveReport
	fenced   []fencedLine // during the present move
}

// A copier is what keys of one side are read and written with.
type copier struct {
	client *topology.Client
	keys   *keysync.Side
}

// copyName is the process name of the connections that write keys: they can be
// ended without those of the records.
func copyName(id string) string { return id + ".copy" }

// lead makes this process the coordinator: on both sides, or on one alone. The
// context that it returns ends with ctx, and when another coordinator takes over.
// The caller ends the term.
func (c *Coordinator) lead(ctx context.Context, verb string, on ...protocol.Side) (context.Context, *term, error) {
	if len(on) == 0 {
		on = protocol.Sides[:]
	}
	t := &term{c: c, id: "coordinator-" + control.ProcessID(), verb: verb, log: c.log, clock: clock{time.Now()}, on: on}
	t.desk = newDesk(t)
	if err := t.open(); err != nil {
		return nil, nil, errors.Join(err, t.close())
	}
	if err := asTold(ctx, t.led()); err != nil {
		return nil, nil, errors.Join(err, t.close())
	}
	if err := probeAll(ctx, t.led()); err != nil {
		return nil, nil, errors.Join(c.withNext(ctx, err), t.close())
	}
	if err := t.take(ctx, verb); err != nil {
		return nil, nil, errors.Join(c.withNext(ctx, err), t.close())
	}
	ctx, t.end = context.WithCancelCause(ctx)
	for _, s := range t.on {
		t.wg.Go(func() { t.beat(ctx, s) })
	}
	return ctx, t, nil
}

// led returns the sides that it leads on, the other being nil.
func (t *term) led() (sides [3]*side) {
	for _, s := range t.on {
		sides[s] = t.sides[s]
	}
	return sides
}

func (t *term) open() error {
	for _, s := range protocol.Sides {
		cfg := t.c.config(s)
		ctl, err := topology.Open(cfg, append([]topology.Option{
			topology.WithName(control.ClientName(t.c.opts.Name, t.id)), topology.WithoutRetries(), topology.WithoutReplicas()}, t.c.opts.extra...)...)
		if err != nil {
			return fmt.Errorf("coordinator: %v: %w", s, err)
		}
		t.sides[s] = &side{Side: s, client: ctl, store: control.New(ctl, t.c.opts.Name, s)}
		if err := t.openKeys(s); err != nil {
			return err
		}
	}
	return nil
}

// openKeys makes new connections for the keys of one side, in place of those
// that are there. Nothing may be using them.
func (t *term) openKeys(s protocol.Side) error {
	cfg := t.c.config(s)
	client, err := topology.Open(cfg,
		topology.WithName(control.ClientName(t.c.opts.Name, copyName(t.id))),
		topology.WithOnConnect(func(ctx context.Context, _ *redis.Conn) error { return t.check(ctx, s) }),
		topology.WithoutRetries(), topology.WithoutReplicas())
	if err != nil {
		return fmt.Errorf("coordinator: %v: %w", s, err)
	}
	keys := keysync.NewSide(client)
	if cfg.Mode == topology.Cluster {
		keys = keysync.NewClusterSide(client)
	}
	if old := t.keys[s]; old != nil {
		_ = old.client.Close() // its connections are dead
	}
	t.keys[s] = &copier{client: client, keys: keys}
	return nil
}

// check is the first thing that a connection for keys asks, on a connection of
// the other client: is the lock still ours? It is asked of the server, and of what
// was heard last: who takes over fences us while the lock is still in our name, and
// a process that wakes between the two would find it there.
func (t *term) check(ctx context.Context, s protocol.Side) error {
	h, err := t.sides[s].store.LockHolder(ctx)
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if h.ID != t.id || !t.renewed[s].Valid(t.now()) {
		return errLock
	}
	return nil
}

// beat shows the other processes that this one lives.
func (t *term) beat(ctx context.Context, s protocol.Side) {
	for pause(ctx, beatEvery) {
		sent := t.now()
		mine, h, err := t.renew(ctx, s)
		switch {
		case err != nil:
			t.log.Debug("lock not renewed", "side", s.String(), "err", err)
		case mine:
			t.mu.Lock()
			t.renewed[s] = protocol.Lease{Sent: sent, RunID: t.id}
			t.mu.Unlock()
			if t.lost[s].Load() {
				_ = t.lookForLoss(ctx, s) // its data may have been restored, with the lock
			}
		case h.ID == "":
			// The side has forgotten it, in a failover. Nobody can have taken it and
			// kept it without the other side's. No key is read there before it is ours.
			if err := t.lookForLoss(ctx, s); err != nil {
				t.log.Debug("lock not taken again", "side", s.String(), "err", err)
				continue
			}
			if _, _, err := t.sides[s].store.TakeLock(ctx, t.id, control.Holder{}, t.about(t.verb)); err != nil {
				t.log.Debug("lock not taken again", "side", s.String(), "err", err)
			}
		default:
			t.log.Warn("another coordinator has taken over", "op", "lock", "side", s.String(), "by", h.ID)
			t.end(fmt.Errorf("%w: %s", ErrReplaced, h.ID))
			return
		}
	}
}

func (t *term) renew(ctx context.Context, s protocol.Side) (bool, control.Holder, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	return t.sides[s].store.RenewLock(ctx, t.id)
}

// mine reports whether the lock can be believed to be ours: it was so on both
// sides less than a lease ago, on both of our clocks. It is asked right before
// keys are written.
func (t *term) mine() error {
	now := t.now()
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range protocol.Sides {
		if !t.renewed[s].Valid(now) {
			return fmt.Errorf("the lock on the %v was last renewed %v ago", s, now.Since(t.renewed[s].Sent).Round(time.Second))
		}
	}
	return nil
}

// quit says goodbye and ends the term.
func (t *term) quit(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	t.end(nil)
	t.wg.Wait()
	_ = t.closeKeys() // before the lock is free
	for _, s := range t.on {
		if err := t.sides[s].store.ReleaseLock(ctx, t.id); err != nil {
			t.log.Debug("lock not released", "side", s.String(), "err", err)
		}
	}
	_ = t.close()
}

func (t *term) closeKeys() (err error) {
	for _, k := range t.keys {
		if k != nil {
			err = errors.Join(err, k.client.Close())
		}
	}
	t.keys = [3]*copier{}
	return err
}

func (t *term) close() error {
	err := t.closeKeys()
	for _, sd := range t.sides {
		if sd != nil {
			err = errors.Join(err, sd.close())
		}
	}
	return err
}

func (t *term) now() protocol.Instant { return t.clock.now() }

// clock turns time.Now into the two clocks that leases are counted on.
type clock struct{ start time.Time }

func (c clock) now() protocol.Instant {
	n := time.Now()
	return protocol.Instant{Mono: n.Sub(c.start), Wall: time.Duration(n.UnixNano())}
}

// pause waits for d, and reports false if ctx is done first.
func pause(ctx context.Context, d time.Duration) bool {
	tm := time.NewTimer(d)
	defer tm.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-tm.C:
		return true
	}
}
