package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/transload/transload/migrate/coordinator"
)

// executeFlags choose between a look and the deed.
func executeFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "execute", Usage: "move"},
		&cli.BoolFlag{Name: "dry-run", Usage: "move nothing; tell each gate, and what would move (this is the default)"},
	}
}

// execute reports whether to move.
func (v *call) execute() (bool, error) {
	do, dry := v.flags.Bool("execute"), v.flags.Bool("dry-run")
	if do && dry {
		return false, usage("say one of them", "--execute and --dry-run exclude each other")
	}
	return do, nil
}

// careFlags say how carefully authority is moved.
func careFlags() []cli.Flag {
	const gates = "GATES"
	return []cli.Flag{
		&cli.DurationFlag{Category: gates, Name: "hold", Usage: "how long writes to the keys that move may be held (default: 250ms)"},
		&cli.DurationFlag{Category: gates, Name: "max-hold", Usage: "the same where a server has no change feed, so that all keys are compared in the hold (default: --hold)"},
		&cli.DurationFlag{Category: gates, Name: "max-p99", Usage: "the target's p99 may always be this (default: 5ms)"},
		&cli.Float64Flag{Category: gates, Name: "max-p99-ratio", Usage: "or so many times the source's (default: 1.3)"},
		&cli.Int64Flag{Category: gates, Name: "max-mirror-errors", Usage: "copies that failed in the last minute (default: 0)"},
		&cli.Int64Flag{Category: gates, Name: "max-read-differences", Usage: "shadow reads that differed in the last minute (default: 0)"},
		&cli.Float64Flag{Category: gates, Name: "min-hit-rate", Usage: "of caches on the target, if it is lower than the source's; 0.95 is 95 percent (default: 0.95)"},
		&cli.DurationFlag{Category: gates, Name: "max-lag", Usage: "of replicas (default: 1s)"},
		&cli.DurationFlag{Category: gates, Name: "max-skew", Usage: "between the clocks of both sides (default: 500ms)"},
		&cli.DurationFlag{Category: gates, Name: "min-shadow", Usage: "for how long shadow should have run; it only warns (default: 168h)"},
		&cli.Float64Flag{Category: gates, Name: "max-memory", Usage: "share of the target's memory that may be in use (default: 0.9)"},
		&cli.BoolFlag{Category: gates, Name: "accept-bypass", Usage: "writers that do not use the migrating client are known and harmless"},
		&cli.DurationFlag{Name: "prepare-for", Usage: "how long a move may be prepared, a dead process of the app waited out (default: 45s)"},
	}
}

// care takes careFlags.
func (v *call) care() coordinator.Care {
	f := v.flags
	c := coordinator.Care{Hold: f.Duration("hold"), MaxHold: f.Duration("max-hold"), AcceptBypass: f.Bool("accept-bypass")}
	c.Limits = coordinator.Limits{
		P99: f.Duration("max-p99"), P99Ratio: f.Float64("max-p99-ratio"),
		MirrorFails: f.Int64("max-mirror-errors"), ReadsDiffer: f.Int64("max-read-differences"),
		HitRate: f.Float64("min-hit-rate"), Lag: f.Duration("max-lag"), Skew: f.Duration("max-skew"),
		MinShadow: f.Duration("min-shadow"), Memory: f.Float64("max-memory"),
	}
	if f.IsSet("min-shadow") && c.Limits.MinShadow == 0 {
		c.Limits.MinShadow = -1 // none, which is not the default
	}
	return c
}

// prepare takes what bounds the preparation of a move.
func (v *call) prepare(o *coordinator.Options) { o.PrepareFor = v.flags.Duration("prepare-for") }

// gatesTable tells each gate with its figure, and what to do about those that
// are not open.
func gatesTable(w io.Writer, gates []coordinator.Gate) {
	for _, g := range gates {
		bound := ""
		if g.Threshold != "" {
			bound = " (" + g.Threshold + ")"
		}
		fmt.Fprintf(w, "%s\t%s\t%s%s\n", g.Verdict, g.Name, g.Figure, bound)
		if g.Next != "" {
			fmt.Fprintf(w, "\t\tnext: %s\n", g.Next)
		}
	}
}

// previewTable tells what would be done, and what stands in its way.
func previewTable(w io.Writer, p coordinator.Preview) {
	gatesTable(w, p.Gates)
	for _, s := range p.Steps {
		total := int64(0)
		var parts []string
		for _, name := range sorted(s.Keys) {
			total += s.Keys[name]
			parts = append(parts, fmt.Sprintf("%s %s", name, grouped(s.Keys[name])))
		}
		about := ""
		if !s.Measured {
			about = "about "
		}
		fmt.Fprintf(w, "step\tto %d %%\t%s%s keys move", s.Percent, about, grouped(total))
		if len(parts) > 0 {
			fmt.Fprintf(w, ": %s", strings.Join(parts, ", "))
		}
		fmt.Fprintln(w)
		if len(s.Queues) > 0 {
			fmt.Fprintf(w, "\t\tqueues, whole: %s\n", strings.Join(s.Queues, ", "))
		}
	}
}
