package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/transload/transload/migrate/coordinator"
)

// movesTable tells how moves went.
func movesTable(w io.Writer, phase fmt.Stringer, gates []coordinator.Gate, moves []coordinator.MoveReport) {
	gatesTable(w, warnings(gates))
	for _, m := range moves {
		how := "moved"
		if !m.Committed {
			how = "given up"
		}
		fmt.Fprintf(w, "%s\t%s\n", how, percents(m.Percent))
		if m.Reason != "" {
			fmt.Fprintf(w, "  why\t%s\n", m.Reason)
		}
		if !m.Committed {
			continue
		}
		fmt.Fprintf(w, "  writes held\t%.1f ms; the app waited %.1f ms at most\n", m.HoldMS, m.LongestWait)
		fmt.Fprintf(w, "  proven\t%s keys compared in the hold, %d repaired, in %d rounds\n", grouped(m.Compared), m.Repaired, m.Rounds)
		fmt.Fprintf(w, "  prepared in\t%.0f ms\n", m.PrepareMS)
	}
	fmt.Fprintf(w, "phase\t%v\n", phase)
}

// percents tells how much of each workload is on the target, in few words.
func percents(of map[string]int) string {
	all := slices.Sorted(maps.Values(of))
	if len(all) > 0 && all[0] == all[len(all)-1] && len(all) > 1 {
		return fmt.Sprintf("every workload: %d %% on the target", all[0])
	}
	var parts []string
	for _, name := range sorted(of) {
		if of[name] > 0 {
			parts = append(parts, fmt.Sprintf("%s %d %%", name, of[name]))
		}
	}
	if len(parts) < len(of) {
		parts = append(parts, "the others 0 %")
	}
	return strings.Join(parts, ", ") + " on the target"
}

// warnings leaves the gates out that are open.
func warnings(gates []coordinator.Gate) (out []coordinator.Gate) {
	for _, g := range gates {
		if g.Verdict != coordinator.OK {
			out = append(out, g)
		}
	}
	return out
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
