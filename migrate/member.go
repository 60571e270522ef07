package migrate

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/transload/transload/internal/control"
	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/topology"
)

// beatEvery is how often a lease is refreshed: fifteen chances within its life.
const beatEvery = time.Second

// retryEvery is how soon a side that does not answer is asked again: after a
// failover the app waits for that.
const retryEvery = 200 * time.Millisecond

// controlPool bounds the control client's connections; it uses a handful. But
// after as many failed dials as its bound go-redis dials only once a second, and
// that much later it would find the new master.
const controlPool = 100

// A member is this process's part in the migration: it keeps its leases, obeys
// the records, and admits operations to the sides. Its protocol half is pure and
// sits in internal/protocol; here is what talks to servers.
type member struct {
	id      string
	opts    Options
	plan    *plan
	digest  string
	log     *slog.Logger
	clock   clock
	sides   [3]*memberSide // by side
	view    atomic.Pointer[view]
	parked  atomic.Int64
	closing chan struct{}
	once    sync.Once
	wg      sync.WaitGroup
	duties  chan struct{} // 1: a duty may have come
	drain   drainer
	gauges  gauges
	mirror  *mirror
	shadow  *shadow

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
		id: memberID(), opts: o, plan: newPlan(o.Workloads), digest: Plan(o.Workloads), log: o.Logger,
		clock: clock{time.Now()}, closing: make(chan struct{}), duties: make(chan struct{}, 1),
		proto: protocol.NewMember(),
	}
	for side, cfg := range map[protocol.Side]topology.Config{protocol.Source: o.Source, protocol.Target: o.Target} {
		own := cfg
		own.PoolSize = controlPool
		ctl, err := topology.Open(own, topology.WithName(m.clientName()), topology.WithoutRetries())
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

func memberID() string {
	host, _ := os.Hostname()
	host = strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' || r == ':' {
			return '-'
		}
		return r
	}, host)
	return fmt.Sprintf("%s-%d-%s", host, os.Getpid(), strings.ToLower(rand.Text()[:8]))
}

func (m *member) clientName() string { return control.ClientName(m.opts.Name, m.id) }

func (m *member) now() protocol.Instant { return m.clock.now() }

// obeyed returns the record that the member obeys on a side.
func (m *member) obeyed(s protocol.Side) protocol.Record {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.proto.Record(s)
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

// keepLease refreshes the lease on one side until ctx is done.
func (m *member) keepLease(ctx context.Context, sd *memberSide) {
	t := time.NewTimer(0)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		case <-sd.wake:
		}
		if m.refresh(ctx, sd) {
			t.Reset(m.nextBeat())
		} else {
			t.Reset(retryEvery)
		}
	}
}

// nextBeat is when a side is to be asked again. While a move is under way nobody
// waits for a nudge that was lost: a hold is short.
func (m *member) nextBeat() time.Duration {
	v := m.view.Load()
	switch began := v.heldSince; {
	case began != protocol.Instant{} && m.now().Since(began) < time.Second:
		return 10 * time.Millisecond
	case v.underWay:
		return 100 * time.Millisecond
	}
	return beatEvery
}

// refresh asks for the side's record and lease once, and again while what it
// hears asks for that. It reports whether the side answered.
func (m *member) refresh(ctx context.Context, sd *memberSide) bool {
	for settle, tries := false, 0; tries < 20 && ctx.Err() == nil; tries++ {
		m.endLapsed(sd)
		eff, err := m.refreshOnce(ctx, sd, settle)
		if err != nil {
			m.say(sd, err)
			return false
		}
		if eff.PutBack != nil {
			m.putBack(ctx, sd, *eff.PutBack)
		}
		if !eff.Close && !eff.Settle && eff.PutBack == nil {
			break
		}
		settle = eff.Settle
	}
	return true
}

// say remembers, and logs once, why a side does not answer.
func (m *member) say(sd *memberSide, err error) {
	m.mu.Lock()
	was := sd.err
	sd.err = err
	m.mu.Unlock()
	if was == nil && err != nil {
		m.log.Warn("side does not answer", "side", sd.side.String(), "op", "refresh", "err", err)
	}
}

func (m *member) refreshOnce(ctx context.Context, sd *memberSide, settle bool) (protocol.Effects, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	m.mu.Lock()
	gen, acked := m.proto.Gen(sd.side), m.proto.Acked()
	e := m.entry(sd)
	news := acked != sd.told
	m.mu.Unlock()
	sent := m.now()
	r, err := sd.store.Refresh(ctx, e, news, settle)
	if err != nil {
		return protocol.Effects{}, err
	}
	m.gauges.roundTrip[sd.side].Store(int64(m.now().Since(sent)))
	m.mu.Lock()
	defer m.mu.Unlock()
	sd.err = nil
	sd.told = acked
	seen := protocol.Seen{Gen: gen, Sent: sent, RunID: r.RunID, Record: r.Record, Safe: r.Safe}
	eff := m.proto.Hear(sd.side, seen, m.now())
	if sd.pool != nil && sd.pool.gen == m.proto.Gen(sd.side) {
		if l := m.proto.Lease(sd.side); l.RunID != "" {
			sd.pool.lease.Store(&l)
		}
	}
	switch {
	case eff.Close: // endLapsed makes the view, when it takes the pool
		if sd.pool != nil && sd.pool.leased {
			sd.pool.lapse()
		}
	case eff.View:
		m.install()
	}
	if now := m.proto.Acked(); now != acked && now.Stage == protocol.Committed {
		eff.Settle = true // tell at once that the commit is obeyed
	}
	return eff, nil
}

// entry is the member's line on the roll of a side. mu is held.
func (m *member) entry(sd *memberSide) protocol.Entry {
	m.beat++
	return protocol.Entry{
		ID: m.id, Beat: m.beat, Epoch: m.proto.Record(sd.side).Epoch, Ack: m.proto.Acked(),
		Ready: m.proto.Ready(m.now()), Plan: m.digest, Note: m.note, About: m.card,
		RunIDs: [2]string{m.proto.RunID(protocol.Source), m.proto.RunID(protocol.Target)},
	}
}

// endLapsed ends the side's lease if it has run out: the view is replaced, the
// pool closed, and only then may a new lease be asked for.
func (m *member) endLapsed(sd *memberSide) {
	sd.ending.Lock() // else a second caller would call the pool closed while the first still closes it
	defer sd.ending.Unlock()
	m.mu.Lock()
	if !m.proto.Lapse(sd.side, m.now()) {
		m.mu.Unlock()
		return
	}
	gen := m.proto.Gen(sd.side)
	var p *pool
	if sd.pool != nil && sd.pool.leased {
		p, sd.pool = sd.pool, nil
		p.lapse()
	}
	m.install()
	m.mu.Unlock()
	if p != nil {
		m.log.Warn("lease has lapsed", "side", sd.side.String(), "op", "lease")
		p.close()
	}
	m.mu.Lock()
	m.proto.Closed(sd.side, gen)
	m.mu.Unlock()
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

// watchClock notices leases that run out while a refresh hangs.
func (m *member) watchClock(ctx context.Context) {
	t := time.NewTicker(50 * time.Millisecond)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			for _, s := range protocol.Sides {
				m.endLapsed(m.sides[s])
			}
		}
	}
}

// putBack writes the record that the member obeys over an older one: the side
// forgot it in a failover. If another member did so first, that is as good.
func (m *member) putBack(ctx context.Context, sd *memberSide, ch protocol.Change) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	ev := control.Event{Who: m.id, What: "record put back", Why: "the side answered with an older one than is obeyed"}
	m.log.Warn("side has forgotten its control record; putting it back", "side", sd.side.String(), "op", "put back")
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
		if m.sides[s].pool != nil {
			m.retire(m.sides[s])
		}
	}
	m.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	m.closeRetired(0, m.drained(ctx, nil) == nil)
}
