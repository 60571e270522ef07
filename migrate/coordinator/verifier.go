package coordinator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/keysync"
	"github.com/transload/transload/internal/protocol"
)

const (
	// looks is how often a key that differs is compared again before it counts:
	// under load most differences are copies on their way.
	looks = 6

	// lookAgainAfter is the pause before the second comparison; each later one is
	// twice as long.
	lookAgainAfter = 150 * time.Millisecond

	// shownDifferences bounds the differences that a report names.
	shownDifferences = 50
)

type verifier struct {
	c    *Coordinator
	plan *plan
	req  VerifyRequest
	keys [3]*keysync.Side

	speed throttle
	total int64

	mu   sync.Mutex
	rep  *VerifyReport
	left map[string]Difference // keys that differed when they were last compared
}

func (v *verifier) run(ctx context.Context) error {
	watch, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	wg.Go(func() { v.speed.watch(watch, v.c.sides) })
	for _, s := range protocol.Sides {
		n, err := dbSize(ctx, v.c.sides[s].client)
		if err != nil {
			return fmt.Errorf("coordinator: count the keys of the %v: %w", s, err)
		}
		v.total += n
	}
	for _, s := range protocol.Sides {
		if err := v.side(ctx, s); err != nil {
			return fmt.Errorf("coordinator: verify the keys of the %v: %w", s, err)
		}
	}
	if err := v.lookAgain(ctx); err != nil {
		return fmt.Errorf("coordinator: verify: %w", err)
	}
	v.count()
	return nil
}

// side compares the keys that are found on one side. Those of which the other
// side has the authority are compared here only if that side lacks them: the
// others are found there.
func (v *verifier) side(ctx context.Context, s protocol.Side) error {
	client := v.c.sides[s].client
	if v.req.Sample > 0 {
		return client.EachMaster(ctx, func(ctx context.Context, _ string, node *redis.Client) error { return v.sample(ctx, node) })
	}
	return eachKey(ctx, client, v.wanted, func(ctx context.Context, keys []string) error {
		now, err := v.now(ctx)
		if err != nil {
			return err
		}
		var own, others []string
		for _, key := range keys {
			if now.answers(key) == s {
				own = append(own, key)
			} else {
				others = append(others, key)
			}
		}
		extras, err := absent(ctx, v.c.sides[s.Other()].client, s.Other(), others)
		if err != nil {
			return err
		}
		return v.compare(ctx, now, append(own, extras...), len(keys))
	})
}

// sample compares keys that a server picks.
func (v *verifier) sample(ctx context.Context, node *redis.Client) error {
	for left := v.req.Sample; left > 0; left -= keysAtOnce {
		p := node.Pipeline()
		cmds := make([]*redis.StringCmd, min(left, keysAtOnce))
		for i := range cmds {
			cmds[i] = p.RandomKey(ctx)
		}
		_, _ = p.Exec(ctx) // each reply is looked at below
		var keys []string
		for _, cmd := range cmds {
			key, err := cmd.Result()
			if errors.Is(err, redis.Nil) { // an empty server
				return nil
			}
			if err != nil {
				return err
			}
			keys = append(keys, key)
		}
		slices.Sort(keys)
		keys = slices.DeleteFunc(slices.Compact(keys), func(key string) bool { return !v.wanted(key) })
		now, err := v.now(ctx)
		if err != nil {
			return err
		}
		if err := v.compare(ctx, now, keys, len(keys)); err != nil {
			return err
		}
	}
	return nil
}

// compare compares keys once, and keeps those that differ for later looks. With
// them it has gone over so many.
func (v *verifier) compare(ctx context.Context, now *view, keys []string, over int) error {
	if err := v.speed.wait(ctx, over); err != nil {
		return err
	}
	left, err := v.differing(ctx, now, keys)
	if err != nil {
		return err
	}
	v.mu.Lock()
	v.rep.Compared += int64(over)
	for _, d := range left {
		v.left[d.Key] = d
	}
	v.mu.Unlock()
	v.tell()
	return nil
}

// lookAgain compares those keys again that differed, until none is left or they
// have differed often enough.
func (v *verifier) lookAgain(ctx context.Context) error {
	for wait, n := lookAgainAfter, 1; len(v.left) > 0 && n < looks; wait, n = 2*wait, n+1 {
		if !pause(ctx, wait) {
			return context.Cause(ctx)
		}
		now, err := v.now(ctx)
		if err != nil {
			return err
		}
		keys := slices.Sorted(maps.Keys(v.left))
		clear(v.left)
		for batch := range slices.Chunk(keys, keysAtOnce) {
			left, err := v.differing(ctx, now, batch)
			if err != nil {
				return err
			}
			for _, d := range left {
				v.left[d.Key] = d
			}
		}
		v.tell()
	}
	return nil
}

// wanted leaves out the migration's own keys, copies that are not whole yet, and
// cold workloads.
func (v *verifier) wanted(key string) bool {
	if v.plan.router.Cold(key) {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.rep.Skipped++
		return false
	}
	return !v.plan.skip(key) && !keysync.IsTemp(key)
}

// now is who has the authority, as the records have it now: a move may be under way.
func (v *verifier) now(ctx context.Context) (*view, error) {
	recs, err := v.c.readings(ctx)
	if err != nil {
		return nil, err
	}
	now := &view{plan: v.plan}
	for _, s := range protocol.Sides {
		now.rec[s] = recs[s].Record
	}
	return now, nil
}

// answers returns the side by which a key is judged. Between commit and grant both
// have the same.
func (v *view) answers(key string) protocol.Side { return cmp.Or(v.authority(key), protocol.Source) }

// differing compares keys once, each with its authority.
func (v *verifier) differing(ctx context.Context, now *view, keys []string) (out []Difference, err error) {
	var by [3][]string
	for _, key := range keys {
		s := now.answers(key)
		by[s] = append(by[s], key)
	}
	for _, s := range protocol.Sides {
		if len(by[s]) == 0 {
			continue
		}
		results, err := keysync.Compare(ctx, v.keys[s], v.keys[s.Other()], by[s], keysync.Options{})
		if len(results) == 0 && err != nil {
			return nil, err
		}
		for _, r := range results {
			d := Difference{Key: r.Key, Workload: v.plan.router.Workload(r.Key), Authority: s, Kind: r.Diff.String()}
			switch {
			case r.Err != nil:
				d.Kind = "error"
			case r.Diff == keysync.Equal:
				continue
			}
			out = append(out, d)
		}
	}
	return out, nil
}

// count puts the differences that stayed into the report.
func (v *verifier) count() {
	for _, key := range slices.Sorted(maps.Keys(v.left)) {
		d := v.left[key]
		if d.Kind == "error" {
			v.rep.Failed++
		} else {
			v.rep.Different++
		}
		kinds := v.rep.Workloads[d.Workload]
		if kinds == nil {
			kinds = map[string]int64{}
			v.rep.Workloads[d.Workload] = kinds
		}
		kinds[d.Kind]++
		if len(v.rep.Examples) < shownDifferences {
			v.rep.Examples = append(v.rep.Examples, d)
		}
	}
}

// tell reports how far it is.
func (v *verifier) tell() {
	v.mu.Lock()
	p := Progress{Stage: "verify", Text: fmt.Sprintf("%d differ so far", len(v.left)), Keys: v.rep.Compared, Total: v.total}
	if held := v.speed.held(); held != "" {
		p.Text += ", " + held
	}
	v.mu.Unlock()
	if took := time.Since(v.rep.Began).Seconds(); took > 0 {
		p.Rate = float64(p.Keys) / took
		p.ETA = max(0, float64(p.Total-p.Keys)/max(p.Rate, 1))
	}
	v.c.opts.Progress(p)
}
