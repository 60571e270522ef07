package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/transload/transload/internal/drill"
)

// A drillReport is what the verb prints.
type drillReport struct {
	*drill.Result
	Steps []drill.Step  `json:"steps,omitempty"` // of a planned failover
	Plain *drill.Result `json:"plain,omitempty"` // the same by SENTINEL FAILOVER alone
}

// tellDrill prints a report, and fails if the drill did.
func (v *call) tellDrill(rep *drillReport, err error) error {
	v.screen.done()
	if err != nil {
		return err
	}
	if err := v.screen.value(rep, func(w io.Writer) { drillTable(w, rep) }); err != nil {
		return err
	}
	for _, why := range rep.Why {
		v.screen.say("wrong: %s", why)
	}
	v.screen.say("%s", drillLine(rep.Result)) // not by way of a table: scripts look for it
	if rep.Verdict != drill.Pass {
		return &failure{"the drill failed: " + strings.Join(rep.Why, "; "), "docs/failover.md says what an outage is made of, and what shortens it"}
	}
	return nil
}

// drillLine is a drill's last one.
func drillLine(r *drill.Result) string {
	return fmt.Sprintf("drill: %s write_outage_ms=%.0f read_outage_ms=%.0f budget_ms=%.0f acknowledged=%d lost=%d",
		strings.ToUpper(r.Verdict), r.Writes.OutageMS, r.Reads.OutageMS, r.BudgetMS, r.Acknowledged, r.Lost)
}

func drillTable(w io.Writer, rep *drillReport) {
	fmt.Fprintf(w, "%s\n\n", rep.Fault)
	lines := slices.Clone(rep.Timeline)
	for _, s := range rep.Steps {
		lines = append(lines, drill.Line{Name: "step: " + s.Name, MS: s.MS})
	}
	slices.SortStableFunc(lines, func(a, b drill.Line) int { return cmp.Compare(a.MS, b.MS) })
	for _, l := range lines {
		fmt.Fprintf(w, "%10.0f ms\t%s\t%s\n", l.MS, strings.ReplaceAll(l.Name, "_", " "), l.Addr)
	}
	fmt.Fprintln(w)
	figuresTable(w, "writes", rep.Writes)
	figuresTable(w, "reads", rep.Reads)
	fmt.Fprintf(w, "lost\t%s\n", lossText(rep.Result))
	if rep.Plain != nil {
		fmt.Fprintf(w, "\tSENTINEL FAILOVER alone: %s\n", lossText(rep.Plain))
	}
}

func figuresTable(w io.Writer, name string, f drill.Figures) {
	fmt.Fprintf(w, "%s\t%s answered; the worst of %d goroutines had no answer for %.0f ms, the median one for %.0f; longest call %.0f ms\n",
		name, grouped(f.Answered), f.Goroutines, f.OutageMS, f.MedianMS, f.LongestCallMS)
	var kinds []string
	for _, kind := range slices.Sorted(maps.Keys(f.Errors)) {
		kinds = append(kinds, fmt.Sprintf("%s × %s", grouped(f.Errors[kind]), kind))
	}
	if len(kinds) > 0 {
		fmt.Fprintf(w, "\tthe app was shown %s\n", strings.Join(kinds, ", "))
	}
}

func lossText(r *drill.Result) string {
	text := fmt.Sprintf("%s of %s acknowledged writes", grouped(r.Lost), grouped(r.Acknowledged))
	switch {
	case r.OldestLostMS > 0:
		text += fmt.Sprintf("; the oldest was acknowledged %.0f ms before the fault", r.OldestLostMS)
	case r.OldestLostMS < 0:
		text += fmt.Sprintf("; the oldest was acknowledged %.0f ms after the failover began", -r.OldestLostMS)
	}
	return text
}
