package load

import (
	"fmt"
	"io"
	"maps"
	"slices"
)

// A Verdict is what came of a load.
type Verdict struct {
	Requests    int64    `json:"requests"`
	Wrong       int64    `json:"wrong"`   // answers that are not so
	Logouts     int64    `json:"logouts"` // users who were signed out and had not asked for it
	Jobs        int64    `json:"jobs"`    // that there should be effects of
	LostJobs    int64    `json:"lost_jobs"`
	DoubledJobs int64    `json:"doubled_jobs"`
	Loads       int      `json:"loads"`
	Bids        int      `json:"bids"`
	Booked      int      `json:"booked"`
	Missed      int      `json:"missed"` // last positions of trucks that did not arrive at somebody who watches
	Fixes       int64    `json:"fixes"`  // positions that were accepted
	Seen        int64    `json:"seen"`   // positions that arrived at those who watch
	Phases      []Phase  `json:"phases"`
	Samples     []string `json:"samples,omitempty"`
}

// A Phase is a part of the run.
type Phase struct {
	Name     string           `json:"name"`
	Requests int64            `json:"requests"`
	P50MS    float64          `json:"p50_ms"`
	P99MS    float64          `json:"p99_ms"`
	MaxMS    float64          `json:"max_ms"`
	Outcomes map[string]int64 `json:"outcomes"`
}

// Outcome is how many requests had an outcome, in all phases or in one.
func (v Verdict) Outcome(name string, phases ...string) (n int64) {
	for _, p := range v.Phases {
		if len(phases) == 0 || slices.Contains(phases, p.Name) {
			n += p.Outcomes[name]
		}
	}
	return n
}

// OK reports whether nobody was told what is not so, and nothing was lost or doubled.
func (v Verdict) OK() bool {
	return v.Wrong == 0 && v.Logouts == 0 && v.LostJobs == 0 && v.DoubledJobs == 0 && v.Missed == 0 && v.Requests > 0
}

func (v *Verdict) say(format string, args ...any) {
	if len(v.Samples) < maxSamples {
		v.Samples = append(v.Samples, fmt.Sprintf(format, args...))
	}
}

// verdict is what the journal knows by itself.
func (j *Journal) verdict() Verdict {
	j.mu.Lock()
	defer j.mu.Unlock()
	v := Verdict{Wrong: j.wrong, Logouts: j.logouts, Loads: len(j.loads), Bids: len(j.bids), Booked: len(j.booked),
		Fixes: j.fixed, Seen: j.seen, Samples: slices.Clone(j.samples)}
	for _, name := range j.order {
		h := j.took[name]
		ms := func(q float64) float64 { return float64(h.ValueAtQuantile(q)) / 1000 }
		v.Phases = append(v.Phases, Phase{name, h.TotalCount(), ms(50), ms(99), float64(h.Max()) / 1000, maps.Clone(j.status[name])})
		v.Requests += h.TotalCount()
	}
	return v
}

// Print tells people.
func (v Verdict) Print(w io.Writer) {
	fmt.Fprintf(w, "%-22s %9s %8s %8s %9s  %s\n", "phase", "requests", "p50 ms", "p99 ms", "max ms", "answers")
	for _, p := range v.Phases {
		fmt.Fprintf(w, "%-22s %9d %8.1f %8.1f %9.1f ", p.Name, p.Requests, p.P50MS, p.P99MS, p.MaxMS)
		for _, k := range slices.Sorted(maps.Keys(p.Outcomes)) {
			fmt.Fprintf(w, " %s %d", k, p.Outcomes[k])
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintf(w, "%d loads, %d bids, %d booked; %d positions sent, %d seen\n", v.Loads, v.Bids, v.Booked, v.Fixes, v.Seen)
	for _, s := range v.Samples {
		fmt.Fprintln(w, "  wrong:", s)
	}
	word := "FAIL"
	if v.OK() {
		word = "PASS"
	}
	fmt.Fprintf(w, "load: %s requests=%d wrong=%d logouts=%d jobs=%d lost=%d doubled=%d missed=%d page_5xx=%d\n",
		word, v.Requests, v.Wrong, v.Logouts, v.Jobs, v.LostJobs, v.DoubledJobs, v.Missed, v.Outcome("page 5xx"))
}
