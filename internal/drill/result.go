package drill

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/transload/transload/topology"
)

// The verdicts.
const (
	Pass = "pass"
	Fail = "fail"
)

// readShare is by how much less reads may be away than writes where they go to
// replicas: the plan gives writes five seconds, and reads none.
const readShare = 5

// A Line is a moment of the timeline, counted from the fault.
type Line struct {
	Name string  `json:"event"`
	MS   float64 `json:"ms"`
	Addr string  `json:"addr,omitempty"`
	Says string  `json:"says,omitempty"`
}

// A Result is what a drill has shown.
type Result struct {
	Verdict      string    `json:"verdict"` // pass or fail
	Why          []string  `json:"why"`     // of a fail
	Mode         string    `json:"mode"`
	Fault        string    `json:"fault"`
	At           time.Time `json:"at"`
	BudgetMS     float64   `json:"budget_ms"`
	Timeline     []Line    `json:"timeline"`
	Writes       Figures   `json:"writes"`
	Reads        Figures   `json:"reads"`
	Acknowledged int64     `json:"acknowledged"` // writes that were looked for afterwards
	Lost         int64     `json:"lost"`         // of these, gone
	// OldestLostMS is how long before the fault the oldest of the lost ones was
	// acknowledged; it is negative if that was after it, and 0 if none is lost.
	OldestLostMS float64 `json:"oldest_lost_ms"`
}

// timeline is the order of the moments that are told.
var timeline = []string{PingLost, SubjectivelyDown, ObjectivelyDown, LeaderElected, Promoted, Switched, Demoted, PingAgain}

// judge makes the result. The load is over.
func (r *run) judge(ctx context.Context, control *topology.Client, d *dials) (*Result, error) {
	r.Say("check", "looking for every write that was acknowledged")
	loss, err := r.load.Check(ctx, control)
	if err != nil {
		return nil, err
	}
	res := &Result{
		Verdict: Pass, Why: []string{}, Mode: string(control.Mode()), Fault: r.fault.Says, At: r.fault.At.UTC(), BudgetMS: ms(r.Budget),
		Writes: r.load.Writes(r.began, r.end), Reads: r.load.Reads(r.began, r.end),
		Acknowledged: loss.Acknowledged, Lost: loss.Lost, Timeline: r.lines(d),
	}
	if loss.Lost > 0 {
		res.OldestLostMS = ms(r.fault.At.Sub(loss.Oldest))
	}
	r.verdict(res)
	return res, nil
}

// verdict holds the figures against the budget.
func (r *run) verdict(res *Result) {
	fail := func(when bool, format string, args ...any) {
		if when {
			res.Verdict = Fail
			res.Why = append(res.Why, fmt.Sprintf(format, args...))
		}
	}
	fail(r.recovered != nil, "%v after the fault: %v", recoveryLimit, r.recovered)
	fail(res.Writes.OutageMS > res.BudgetMS, "a writer had no answer for %.0f ms; the budget is %.0f", res.Writes.OutageMS, res.BudgetMS)
	reads := ms(r.readBudget())
	fail(res.Reads.OutageMS > reads, "a reader had no answer for %.0f ms; the budget is %.0f", res.Reads.OutageMS, reads)
	fail(res.Writes.Late+res.Reads.Late > 0, "%d calls outlived their own deadline", res.Writes.Late+res.Reads.Late)
	fail(r.Lossless && res.Lost > 0, "%d acknowledged writes are lost", res.Lost)
}

// lines puts the servers' and the client's moments into one timeline.
func (r *run) lines(d *dials) (out []Line) {
	add := func(m Moment) {
		if !m.At.IsZero() {
			out = append(out, Line{m.Name, ms(m.At.Sub(r.fault.At)), m.Addr, m.Says})
		}
	}
	from := r.fault.At.Add(-lostAfter)
	for _, name := range timeline {
		m, _ := r.watch.First(name, from)
		add(m)
	}
	promoted, ok := r.watch.First(Promoted, from)
	if ok {
		hit := r.watch.hit(r.fault.Addr, promoted.Addr)
		wrote := firstAnswer(r.load.writers, promoted.At, hit)
		// The client may see the promotion one probe before we do. What it connected
		// earlier was for reads; and it may have had a connection already.
		if m, ok := d.first(promoted.Addr, promoted.At.Add(-2*probeEvery)); ok && m.At.Before(wrote) {
			add(m)
		}
		add(Moment{Name: FirstWrite, At: wrote})
		add(Moment{Name: FirstRead, At: firstAnswer(r.load.readers, promoted.At, hit)})
	}
	slices.SortStableFunc(out, func(a, b Line) int { return cmp.Compare(a.MS, b.MS) })
	return out
}
