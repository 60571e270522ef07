package coordinator

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/transload/transload/internal/control"
	"github.com/transload/transload/internal/protocol"
)

// An Event is one line of the audit: who did what, when and why, with figures.
type Event struct {
	At      time.Time         `json:"at"`   // by the clock of the side
	Side    string            `json:"side"` // where it was noted: source, target or both
	Who     string            `json:"who"`
	What    string            `json:"what"`
	Why     string            `json:"why,omitempty"`
	Figures map[string]string `json:"figures,omitempty"`
}

// both is the side of what was noted on both.
const both = "both"

// sameWithin is how far apart the same event may be noted on the two sides, their
// clocks included.
const sameWithin = 5 * time.Second

// Events returns the newest n events of both sides, oldest first; n under 1 means
// 100. A side that does not answer is an error, which comes with what the other
// side has.
func (c *Coordinator) Events(ctx context.Context, n int) ([]Event, error) {
	if n < 1 {
		n = 100
	}
	var by [3][]control.Event
	var errs error
	for _, s := range protocol.Sides {
		ctx, cancel := context.WithTimeout(ctx, askFor)
		evs, err := c.sides[s].store.Events(ctx, int64(n))
		cancel()
		by[s], errs = evs, errors.Join(errs, err)
	}
	all := mergeEvents(by[protocol.Source], by[protocol.Target])
	return all[max(0, len(all)-n):], errs
}

// mergeEvents puts both audits into one, by time. What was noted on both sides
// is one event, and has the earlier time.
func mergeEvents(source, target []control.Event) []Event {
	out := make([]Event, 0, len(source)+len(target))
	for _, e := range source {
		out = append(out, eventOf(e, protocol.Source.String()))
	}
	own := len(out)
	for _, e := range target {
		// Each line of one side stands for one of the other.
		i := slices.IndexFunc(out[:own], func(o Event) bool { return o.Side != both && o.same(e) })
		if i < 0 {
			out = append(out, eventOf(e, protocol.Target.String()))
			continue
		}
		out[i].Side = both
		if e.At.Before(out[i].At) {
			out[i].At = e.At
		}
	}
	slices.SortStableFunc(out, func(a, b Event) int { return a.At.Compare(b.At) })
	return out
}

func eventOf(e control.Event, side string) Event {
	return Event{At: e.At, Side: side, Who: e.Who, What: e.What, Why: e.Why, Figures: e.Figures}
}

func (e Event) same(o control.Event) bool {
	return e.Who == o.Who && e.What == o.What && e.Why == o.Why && e.At.Sub(o.At).Abs() <= sameWithin && maps.Equal(e.Figures, o.Figures)
}
