package chaos

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/transload/transload/internal/history"
	"github.com/transload/transload/internal/load"
	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/topology"
)

// excused returns the spans in which the target may have lost what it served.
func (r *run) excused() (out []span, err error) {
	if r.witness == nil {
		return nil, nil
	}
	commits, err := r.commits()
	for _, s := range r.witness.failovers() {
		r.result.failovers++
		if slices.ContainsFunc(commits, func(began int64) bool {
			over := began < r.returned && r.returned < s.from
			return began <= s.to && !over
		}) {
			out = append(out, s)
		}
	}
	return out, err
}

// commits returns when keys were given to the target, by the audit of the source,
// which loses nothing.
func (r *run) commits() (out []int64, err error) {
	events, err := r.looker.Events(r.ctx, 1000)
	for _, e := range events {
		if e.What == fmt.Sprintf("%s on the %v", protocol.Committed, protocol.Source) {
			out = append(out, history.Now()-time.Since(e.At).Nanoseconds()-int64(sameClock))
		}
	}
	return out, err
}

// sameClock is how far the times of the audit, in milliseconds of the wall clock,
// may lie from those of the histories.
const sameClock = 10 * time.Millisecond

// judge reads everything back and holds it against the records.
func (r *run) judge() error {
	var ops []history.Op
	for _, who := range r.names {
		list, err := history.Read(who, filepath.Join(r.dir, who+".history"))
		if err != nil {
			return err
		}
		ops = append(ops, list...)
	}
	c, err := topology.Open(r.config(protocol.Target))
	if err != nil {
		return err
	}
	defer c.Close()
	if ops, err = history.ReadBack(r.ctx, c, ops); err != nil {
		return err
	}
	spans, err := r.excused()
	if err != nil {
		return err
	}
	r.result.lose(history.Lost(ops, func(o history.Op) bool { return within(o, spans) }))
	checked := ops
	if len(spans) > 0 {
		checked = history.Until(ops, spans[0].from)
	}
	r.result.check(history.Check(checked, searchWithin))
	if len(spans) > 0 {
		return nil // the journal of package load does not tell times
	}
	var journals []*load.Journal
	for _, who := range r.names {
		j, err := load.Open(filepath.Join(r.dir, who+".journal"))
		if err != nil {
			return err
		}
		journals = append(journals, j)
	}
	v, err := load.Check(r.ctx, c, journals...)
	r.result.load(v)
	return err
}

// within reports whether an operation was under way in one of the spans.
func within(o history.Op, spans []span) bool {
	for _, s := range spans {
		if o.Call <= s.to && o.Return >= s.from {
			return true
		}
	}
	return false
}

// TestSpans wants a failover to excuse what was under way from the last look at
// which every replica had everything, and nothing else.
func TestSpans(t *testing.T) {
	w := &witness{shards: map[string]*shard{}}
	w.confirm("0,3", "a", 10, 11)
	w.confirm("1,4", "b", 10, 11)
	w.confirm("0,3", "a", 20, 21)
	w.confirm("0,3", "c", 90, 91) // its replica has taken over
	w.confirm("1,4", "b", 90, 91)
	w.confirm("0,3", "c", 99, 100)
	spans := w.failovers()
	if !slices.Equal(spans, []span{{20, 91}}) {
		t.Fatalf("got %v; want one, from 20 to 91", spans)
	}
	for _, tt := range []struct {
		call, back int64
		want       bool
	}{{1, 19, false}, {1, 20, true}, {50, 60, true}, {91, 200, true}, {92, 200, false}, {1, 200, true}} {
		if got := within(history.Op{Call: tt.call, Return: tt.back}, spans); got != tt.want {
			t.Errorf("from %d to %d: got %v; want %v", tt.call, tt.back, got, tt.want)
		}
	}
}
