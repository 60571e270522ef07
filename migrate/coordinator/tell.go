package coordinator

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"

	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/migrate"
)

// Status tells the state of the migration. It needs no lock and changes nothing.
// A side that does not answer is told as such; that neither does is an error.
func (c *Coordinator) Status(ctx context.Context) (st Status, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*askFor)
	defer cancel()
	b := &bench{c: c, about: map[string]migrate.About{}, roll: map[string][3]protocol.Entry{}, census: map[string]migrate.Census{}}
	b.facts = bothFacts(ctx, c.sides)
	st = Status{Name: c.opts.Name, Percent: map[string]int{}, Members: []MemberStatus{}, Blockers: []string{}, NextSteps: []string{}}
	st.Sides = SidesStatus{Source: sideStatus(b.facts[protocol.Source]), Target: sideStatus(b.facts[protocol.Target])}
	var live [3]*Live
	var wg sync.WaitGroup
	errs := [3]error{}
	for _, s := range protocol.Sides {
		if err := b.facts[s].Err; err != nil {
			errs[s] = err
			continue
		}
		wg.Go(func() { live[s], errs[s] = b.read(ctx, c.sides[s]) })
	}
	wg.Wait()
	for _, s := range protocol.Sides {
		if errs[s] == nil {
			errs[s] = b.members(ctx, c.sides[s])
			b.times(ctx, c.sides[s])
		}
	}
	if errs[protocol.Source] != nil && errs[protocol.Target] != nil {
		return st, fmt.Errorf("coordinator: neither side answers: source: %w; target: %w", errs[protocol.Source], errs[protocol.Target])
	}
	b.tellRecords(&st)
	b.tellMembers(&st)
	b.tellLive(ctx, &st, live)
	b.advise(&st, errs)
	return st, nil
}

func sideStatus(f facts) SideStatus {
	st := SideStatus{Mode: string(f.Mode), Healthy: f.Err == nil, Version: f.Version, Used: f.Used, Masters: f.Masters,
		Replicas: f.Replicas, LagMS: ms(f.Lag), TripMS: ms(f.Trip)}
	if f.Err != nil {
		st.Error = f.Err.Error()
	}
	return st
}

// read reads a side's record and what the coordinator tells of itself there.
func (b *bench) read(ctx context.Context, sd *side) (*Live, error) {
	var err error
	if b.recs[sd.Side], err = sd.store.Read(ctx, false); err != nil {
		return nil, err
	}
	return liveOn(ctx, sd), nil
}

// liveOn returns what a coordinator has told on a side, or nil.
func liveOn(ctx context.Context, sd *side) *Live {
	text, err := sd.client.HGet(ctx, sd.store.Keys().Requests, liveField).Result()
	if err != nil {
		return nil // nothing was told
	}
	var l Live
	if json.Unmarshal([]byte(text), &l) != nil {
		return nil // by another version
	}
	return &l
}

func (b *bench) tellRecords(st *Status) {
	st.Phase = b.recs.phase()
	for _, s := range protocol.Sides {
		rec := b.recs[s].Record
		if rec.Epoch >= st.Epoch {
			st.Epoch = rec.Epoch
			for w, cut := range rec.Cuts {
				st.Percent[w] = protocol.Percent(cut)
			}
		}
		mv := rec.Move
		if mv != nil && mv.From == s && (mv.Stage == protocol.Prepared || mv.Stage == protocol.Held || rec.AwaitsGrant(b.recs[s.Other()].Record)) {
			st.Moving = &MovingStatus{ID: mv.ID, From: mv.From, Stage: mv.Stage, Percent: percents(mv.Goal)}
		}
	}
}

func (b *bench) tellMembers(st *Status) {
	for _, id := range sortedKeys(b.roll) {
		lines, about := b.roll[id], b.about[id]
		src, dst := lines[protocol.Source], lines[protocol.Target]
		m := MemberStatus{ID: id, Version: about.Version, Epoch: max(src.Epoch, dst.Epoch), Ready: src.Ready || dst.Ready,
			LeaseMS: about.LeaseMS, Dirty: about.Dirty, LagMS: about.Mirror.LagMS, Note: src.Note}
		st.Members = append(st.Members, m)
		st.Mirror.Written += about.Mirror.Written
		st.Mirror.Failed += about.Mirror.Failed
		st.Mirror.Dropped += about.Mirror.Dropped
		st.Mirror.LagMS = max(st.Mirror.LagMS, about.Mirror.LagMS)
		for _, r := range about.Shadow {
			st.ShadowReads.Compared += r.Compared
			st.ShadowReads.Different += r.Different
		}
		slowest(&st.Latency.Source, about.Latency[0])
		slowest(&st.Latency.Target, about.Latency[1])
		for _, w := range about.Workloads {
			if w.Cold && !slices.Contains(st.Cold, w.Name) {
				st.Cold = append(st.Cold, w.Name)
			}
		}
	}
}

func slowest(to *migrate.Latency, l migrate.Latency) {
	to.Count += l.Count
	to.P50MS, to.P99MS = max(to.P50MS, l.P50MS), max(to.P99MS, l.P99MS)
}

// tellLive tells what the coordinator that runs, or ran last, has told.
func (b *bench) tellLive(ctx context.Context, st *Status, told [3]*Live) {
	for _, s := range protocol.Sides {
		if b.facts[s].Err != nil || st.Coordinator != nil {
			continue
		}
		if h, err := b.c.sides[s].store.LockHolder(ctx); err == nil && h.ID != "" {
			st.Coordinator = &LeaderStatus{ID: h.ID, About: h.About}
		}
	}
	l := told[protocol.Source]
	if other := told[protocol.Target]; l == nil || other != nil && other.At.After(l.At) {
		l = other
	}
	if l == nil {
		return
	}
	st.LastMove = l.LastMove
	st.Sync.VerifiedAt, b.verified = l.Sync.VerifiedAt, l.Sync.VerifiedAt.Time
	if st.Coordinator == nil || st.Coordinator.ID != l.ID {
		return // it has left: what it told of the present is past
	}
	st.Coordinator.Told = l.At
	st.Sync, st.Dirty, st.WaitsFor = l.Sync, l.Dirty+l.Slots, l.WaitsFor
	st.Feed = FeedsStatus{Source: l.Feed[0], Target: l.Feed[1]}
	if l.Feed[0].Whole && l.Feed[1].Whole {
		st.Feed.UnbrokenSince = When{l.Feed[0].Since}
		if l.Feed[1].Since.After(l.Feed[0].Since) {
			st.Feed.UnbrokenSince = When{l.Feed[1].Since}
		}
	}
}
