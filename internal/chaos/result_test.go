package chaos

import (
	"fmt"
	"time"

	"github.com/transload/transload/internal/history"
	"github.com/transload/transload/internal/load"
)

// searchWithin bounds the search for an order of one key's operations.
const searchWithin = 30 * time.Second

// A result is what a run, or several, came to.
type result struct {
	plan plan
	runs int // of a sum
	took time.Duration

	acknowledged, lost, differing int64
	excused                       int64 // lost, and by Redis itself
	wild                          int64 // invented, stale or without their expiry
	broken                        int   // keys that are not linearizable, or not known to be
	checked                       int   // operations
	failovers                     int
	wrong                         []string // in words
}

func (r *result) pass() bool {
	return len(r.wrong) == 0 && r.lost+r.differing+r.wild == 0 && r.broken == 0 && r.acknowledged > 0
}

func (r *result) word() string {
	if r.pass() {
		return "PASS"
	}
	return "FAIL"
}

func (r result) figures() string {
	return fmt.Sprintf("acknowledged=%d lost=%d differing=%d invented=%d nonlinearizable=%d operations=%d failovers=%d excused=%d seconds=%.0f",
		r.acknowledged, r.lost, r.differing, r.wild, r.broken, r.checked, r.failovers, r.excused, r.took.Seconds())
}

// String is a run's line.
func (r result) String() string {
	return fmt.Sprintf("chaos: %s seed=%d mode=%s %s", r.word(), r.plan.seed, r.plan.mode, r.figures())
}

// sum is the last line of several runs.
func (r result) sum() string {
	return fmt.Sprintf("chaos: %s runs=%d %s", r.word(), r.runs, r.figures())
}

func (r *result) add(one result) {
	r.runs++
	r.took += one.took
	r.acknowledged += one.acknowledged
	r.lost += one.lost
	r.differing += one.differing
	r.excused += one.excused
	r.wild += one.wild
	r.broken += one.broken
	r.checked += one.checked
	r.failovers += one.failovers
	r.wrong = append(r.wrong, one.wrong...)
}

func (r *result) lose(l history.Loss) {
	r.acknowledged += l.Acknowledged
	r.lost += l.Lost
	r.excused += l.Excused
	r.wild += l.Invented
	r.wrong = append(r.wrong, l.Samples...)
}

func (r *result) check(rep history.Report) {
	r.checked += rep.Ops
	r.broken += len(rep.Faults)
	for _, f := range rep.Faults {
		r.wrong = append(r.wrong, f.String())
	}
}

func (r *result) load(v load.Verdict) {
	r.acknowledged += v.Acknowledged
	r.lost += v.Lost
	r.wild += v.Invented + v.Doubled + v.Stale + v.Immortal
	r.wrong = append(r.wrong, v.Samples...)
}
