package migrate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/transload/transload/internal/breaker"
	"github.com/transload/transload/internal/control"
	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/topology"
)

// controlPool bounds the control client's connections; it uses a handful. But
// after as many failed dials as its bound go-redis dials only once a second, and
// that much later it would find the new master.
const controlPool = 100

// A member is this process's part in the migration: it keeps its leases, obeys
// the records, and admits operations to the sides. Its protocol half is pure and
// sits in internal/protocol; here is what talks to servers.
type member struct {
	id       string
	opts     Options
	plan     *plan
	digest   string
	log      *slog.Logger
	clock    clock
	sides    [3]*memberSide // by side
	view     atomic.Pointer[view]
	breakers [3]*breaker.Breaker // by side; nil without Options.Breaker
	parked   atomic.Int64
	closing  chan struct{}
	once     sync.Once
	wg       sync.WaitGroup
	duties   chan struct{} // 1: a duty may have come
	drain    drainer
	gauges   gauges
	mirror   *mirror
	shadow   *shadow

	mu      sync.Mutex
	proto   *protocol.Member
	old     []*view // replaced, and not yet known to be drained
	retired []retired
	shut    bool // no view is installed any more
	beat    uint64
	card    []byte // an About as JSON, for the roll
	note    string // what a duty waits for
}

type memberSide struct {
	side    protocol.Side
	cfg     topology.Config
	ctl     *topology.Client // for records, leases and first checks; never for the app's commands
	store   *control.Store
	orphans *orphans
	wake    chan struct{} // 1: refresh now
	ending  sync.Mutex    // one at a time closes a lapsed pool
	pool    *pool         // guarded by member.mu
	copies  *pool         // for copies to this side; guarded by member.mu
	told    protocol.Ack  // the acknowledgement last told on its roll; guarded by member.mu
	err     error         // why the last refresh failed; guarded by member.mu
}

// drainer ends what the front has running on keys that are about to move. The
// front and the mirror register themselves here.
type drainer struct {
	mu    sync.Mutex
	steps []func(ctx context.Context) error
}

func (d *drainer) register(f func(ctx context.Context) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.steps = append(d.steps, f)
}

func (d *drainer) run(ctx context.Context) error {
	d.mu.Lock()
	steps := d.steps
	d.mu.Unlock()
	for _, f := range steps {
		if err := f(ctx); err != nil {
			return err
		}
	}
	return nil
}

// newMember starts nothing: run does.
func newMember(o Options) (*member, error) {
	m := &member{
		id: control.ProcessID(), opts: o, plan: newPlan(o.Workloads), digest: Plan(o.Workloads), log: o.Logger,
		clock: clock{time.Now()}, closing: make(chan struct{}), duties: make(chan struct{}, 1),
		proto: protocol.NewMember(),
	}
	m.breakers = newBreakers(o, m.plan)
	for side, cfg := range map[protocol.Side]topology.Config{protocol.Source: o.Source, protocol.Target: o.Target} {
		own := cfg
		own.PoolSize = controlPool
		ctl, err := topology.Open(own, topology.WithName(m.clientName()), topology.WithoutRetries(), topology.WithoutReplicas())
		if err != nil {
			return nil, fmt.Errorf("migrate: %v: %w", side, err)
		}
		m.sides[side] = &memberSide{
			side: side, cfg: cfg, ctl: ctl, orphans: &orphans{}, wake: make(chan struct{}, 1),
			store: control.New(ctl, o.Name, side),
		}
	}
	m.mirror, m.shadow = newMirror(m, o.MirrorQueue), newShadow(m, o.ShadowReads)
	m.drain.register(m.mirror.drain)
	m.view.Store(&view{blank: true, why: "the control record has not been read yet", changed: make(chan struct{})})
	return m, nil
}

func (m *member) clientName() string { return control.ClientName(m.opts.Name, m.id) }

func (m *member) now() protocol.Instant { return m.clock.now() }

// obeyed returns the record that the member obeys on a side.
func (m *member) obeyed(s protocol.Side) protocol.Record {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.proto.Record(s)
}

// standing returns the records under which a connection to a side may begin.
func (m *member) standing(s protocol.Side) []protocol.Record {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.proto.Standing(s)
}

// run starts the member's goroutines; close ends them.
func (m *member) run(ctx context.Context) {
	for _, s := range protocol.Sides {
		sd := m.sides[s]
		m.wg.Go(func() { m.keepLease(ctx, sd) })
		m.wg.Go(func() { m.listen(ctx, sd) })
	}
	m.wg.Go(func() { m.watchClock(ctx) })
	m.wg.Go(func() { m.doDuties(ctx) })
	m.wg.Go(func() { m.doWishes(ctx) })
	m.wg.Go(func() { m.janitor(ctx) })
	m.wg.Go(func() { m.tellAbout(ctx) })
	for range shadowWorkers {
		m.wg.Go(func() { m.shadow.run(ctx) })
	}
	m.wg.Go(func() { m.shadow.runAgain(ctx) })
	for _, s := range m.mirror.shards {
		m.wg.Go(func() { m.mirror.work(ctx, s) })
	}
}

// nudge makes a side's record be read now.
func (m *member) nudge(s protocol.Side) {
	select {
	case m.sides[s].wake <- struct{}{}:
	default:
	}
}

// tellAbout keeps what the roll tells of this member.
func (m *member) tellAbout(ctx context.Context) {
	for {
		card, err := json.Marshal(m.about())
		if err != nil { // numbers and names
			card = nil
		}
		m.mu.Lock()
		m.card = card
		m.mu.Unlock()
		if !pause(ctx, beatEvery) {
			return
		}
	}
}

// putBack writes the record that the member obeys over an older one: the side
// forgot it in a failover. Over the record of a side that was given up, and is
// back, it writes that of a mirror. If another member did so first, that is as good.
func (m *member) putBack(ctx context.Context, sd *memberSide, ch protocol.Change) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	ev := control.Event{Who: m.id, What: "record put back", Why: "the side answered with an older one than is obeyed"}
	if !ch.New.Same(m.obeyed(sd.side)) {
		ev.What, ev.Why = fmt.Sprintf("the %v is back, as a mirror", sd.side), "it had been given up"
	}
	m.log.Warn("side has an old control record; replacing it", "side", sd.side.String(), "op", "put back", "why", ev.Why)
	if _, err := sd.store.Change(ctx, ch, "", ev); err != nil {
		m.say(sd, err)
	}
}

// listen waits for nudges on one side. A lost nudge costs at most a beat.
func (m *member) listen(ctx context.Context, sd *memberSide) {
	ps := sd.ctl.Subscribe(ctx, sd.store.Keys().Nudge)
	defer ps.Close()
	m.wg.Go(func() { // Receive heeds no context
		<-ctx.Done()
		_ = ps.Close()
	})
	for ctx.Err() == nil {
		if _, err := ps.Receive(ctx); err != nil {
			select { // it reconnects by itself at the next Receive
			case <-ctx.Done():
			case <-time.After(beatEvery):
			}
			continue
		}
		m.nudge(sd.side)
	}
}

// close ends what the member has under way and then says goodbye on both rolls,
// where it can. The context of run must be done. Nothing of a member that has
// said goodbye may be carried out any more, so one that cannot end its orphans
// stays on the roll and is waited out. Keys that are not copied yet are no loss:
// the coordinator's feeds have their names.
func (m *member) close(ctx context.Context) {
	m.once.Do(func() { close(m.closing) })
	m.closePools(ctx)
	m.wg.Wait() // a refresh that came later would put the member on the roll again
	var ended error
	for _, s := range protocol.Sides {
		ended = errors.Join(ended, m.killOrphans(ctx, m.sides[s]))
	}
	var wg sync.WaitGroup
	for _, s := range protocol.Sides {
		wg.Go(func() {
			sd := m.sides[s]
			if ended == nil {
				_ = sd.store.Strike(ctx, m.id)
			}
			sd.store.Close()
			_ = sd.ctl.Close()
		})
	}
	wg.Wait()
}

// closePools lets nothing more begin, waits a little for the writes under way,
// and closes every pool.
func (m *member) closePools(ctx context.Context) {
	m.mu.Lock()
	m.shut = true
	was := m.view.Swap(&view{phase: m.proto.Phase(), leased: true, blank: true, why: "the client is closed", changed: make(chan struct{})})
	close(was.changed)
	m.old = append(m.old, was)
	for _, s := range protocol.Sides {
		m.retire(&m.sides[s].pool)
		m.retire(&m.sides[s].copies)
	}
	m.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	m.closeRetired(0, m.drained(ctx, nil) == nil)
}
