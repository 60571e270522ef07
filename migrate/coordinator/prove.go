package coordinator

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/transload/transload/internal/keysync"
	"github.com/transload/transload/internal/protocol"
)

// A proof carries out what a prover asks for. Nothing else copies meanwhile.
type proof struct {
	s       *syncer
	v       *view
	giver   protocol.Side
	runs    [3]string
	checked atomic.Int64 // keys compared
	mended  atomic.Int64

	steps sync.WaitGroup
	mu    sync.Mutex
	taken []string // names that were taken out of the dirty set
}

// prove runs a proof, and hands its verdict to the mover. What a proof that did
// not succeed has taken out of the dirty set goes back: nobody else knows that
// these keys may differ, and the next proof would pass without them.
func (d *driver) prove(ctx context.Context) {
	pr := &proof{s: d.s, v: d.s.view.Load(), giver: d.giver, runs: d.runs}
	p := protocol.NewProver(!d.s.full())
	answers := make(chan protocol.ProofInput, 2) // a round asks for two things at a time
	work, stop := context.WithCancel(ctx)
	giveUp := sync.OnceFunc(func() {
		stop()
		pr.steps.Wait() // a watermark that is under way may take names yet
		pr.putBack()
	})
	proven := false
	defer func() {
		if !proven {
			giveUp()
		}
		stop()
	}()
	outs := p.Start()
	for {
		for _, o := range outs {
			if o.Kind == protocol.ProveEnd {
				if proven = o.Proved.OK; !proven {
					giveUp()
				}
				d.send(ctx, event{Input: protocol.Input{Proved: o.Proved}, proof: pr, rounds: p.Rounds()})
				return
			}
			first := p.Rounds() == 1
			pr.steps.Go(func() {
				in := pr.step(work, o, first)
				in.Kind = o.Kind
				select {
				case answers <- in:
				case <-work.Done():
				}
			})
		}
		select {
		case in := <-answers:
			outs = p.Handle(in)
		case <-ctx.Done():
			return
		}
	}
}

// step carries out one output of a prover.
func (pr *proof) step(ctx context.Context, o protocol.ProofOutput, first bool) (in protocol.ProofInput) {
	var err error
	switch o.Kind {
	case protocol.ProveMark:
		in.Names, err = pr.mark(ctx, first)
	case protocol.ProvePass:
		in.Differ, err = pr.pass(ctx)
	case protocol.ProveReplicas:
		err = pr.s.t.settleReplicas(ctx, pr.giver.Other())
	case protocol.ProveCompare:
		in.Names, err = pr.compare(ctx, o.Names)
	case protocol.ProveRepair:
		err = pr.repair(ctx, o.Names)
	case protocol.ProveMasters:
		err = pr.masters(ctx)
	}
	if err != nil {
		in.Fault = err.Error()
	}
	return in
}

// mark sends a watermark through all feeds, and takes the moving names out of
// the dirty set. In the first round it adds the streams that have groups: what
// happens to groups is reported by no feed.
func (pr *proof) mark(ctx context.Context, first bool) ([]string, error) {
	if err := pr.watermark(ctx); err != nil {
		return nil, err
	}
	var moving, rest []string
	names := pr.s.dirty.Take(0, 0)
	pr.mu.Lock()
	pr.taken = append(pr.taken, names...)
	pr.mu.Unlock()
	for _, name := range names {
		if pr.v.moving(name) {
			moving = append(moving, name)
		} else {
			rest = append(rest, name)
		}
	}
	pr.s.dirty.Add(rest...)
	if first {
		streams, err := pr.s.movingStreams(ctx, pr.v)
		if err != nil {
			return nil, err
		}
		moving = append(moving, streams...)
	}
	return moving, nil
}

// putBack makes everything dirty again that the proof has taken.
func (pr *proof) putBack() {
	pr.mu.Lock()
	defer pr.mu.Unlock()
	pr.s.dirty.Add(pr.taken...)
	pr.taken = nil
}

// watermark returns once the feeds of both sides have told all that was changed
// before. It fails if a feed is not whole, or slots are dirty: then it was not
// whole at some time since they were walked.
func (pr *proof) watermark(ctx context.Context) error {
	var wg sync.WaitGroup
	var errs [3]error
	for _, side := range protocol.Sides {
		wg.Go(func() {
			if err := pr.s.feeds[side].Watermark(ctx); err != nil {
				errs[side] = fmt.Errorf("%v: %w", side, err)
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs[:]...); err != nil {
		return err
	}
	if n := pr.s.slots(); n > 0 {
		return fmt.Errorf("%d slots must be walked again", n)
	}
	return nil
}

func (pr *proof) compare(ctx context.Context, names []string) (differ []string, err error) {
	keys := pr.s.t.keys
	results, err := keysync.Compare(ctx, keys[pr.giver].keys, keys[pr.giver.Other()].keys, names, keysync.Options{})
	if err != nil {
		return nil, err
	}
	pr.checked.Add(int64(len(names)))
	for _, r := range results {
		if r.Diff != keysync.Equal {
			differ = append(differ, r.Key)
		}
	}
	return differ, nil
}

func (pr *proof) repair(ctx context.Context, names []string) error {
	n, left, err := pr.s.t.sync(ctx, pr.giver, names)
	pr.mended.Add(n.changed())
	if err == nil && len(left) > 0 {
		err = fmt.Errorf("%d keys could not be copied", len(left))
	}
	return err
}

// masters checks that both sides still are what they were.
func (pr *proof) masters(ctx context.Context) error {
	if !pr.s.full() {
		return pr.watermark(ctx)
	}
	for _, side := range protocol.Sides {
		r, err := pr.s.t.sides[side].store.Read(ctx, false)
		if err != nil {
			return err
		}
		if r.RunID != pr.runs[side] {
			return fmt.Errorf("the master of the %v has changed", side)
		}
	}
	return nil
}

// pass compares every moving key where there are no feeds. Nobody writes them
// now, so one that the taker has and the giver has not is an extra.
func (pr *proof) pass(ctx context.Context) (differ int, err error) {
	var changed atomic.Int64
	for _, side := range protocol.Sides {
		err := pr.s.each(ctx, side, pr.wanted, func(ctx context.Context, keys []string) error {
			if side != pr.giver {
				var err error
				if keys, err = pr.s.t.absent(ctx, pr.giver, keys); err != nil || len(keys) == 0 || pr.s.t.keepExtras(side) {
					return err
				}
			}
			n, left, err := pr.s.t.sync(ctx, pr.giver, keys)
			changed.Add(n.changed())
			pr.checked.Add(n.Compared)
			pr.mended.Add(n.changed())
			if err == nil && len(left) > 0 {
				err = fmt.Errorf("%d keys could not be compared", len(left))
			}
			return err
		})
		if err != nil {
			return 0, err
		}
	}
	return int(changed.Load()), nil
}

func (pr *proof) wanted(key string) bool { return !pr.v.skip(key) && pr.v.moving(key) }
