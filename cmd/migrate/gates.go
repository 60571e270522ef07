package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/transload/transload/migrate/coordinator"
)

// executeFlags choose between a look and the deed.
func executeFlags() []cli.Flag {
	return []cli.Flag{
		boolean("execute", "move"),
		boolean("dry-run", "move nothing; tell each gate, and what would move (this is the default)"),
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
	return []cli.Flag{
		gate(duration("hold", "250ms", "how long writes to the keys that move may be held")),
		gate(duration("max-hold", "--hold", "the same where a server has no change feed, so that all keys are compared in the hold")),
		gate(duration("max-p99", "5ms", "the target's p99 may always be this")),
		gate(&cli.Float64Flag{Name: "max-p99-ratio", DefaultText: "1.3", Usage: "or so many times the source's"}),
		gate(&cli.Int64Flag{Name: "max-mirror-errors", DefaultText: "0", Usage: "copies that failed in the last minute"}),
		gate(&cli.Int64Flag{Name: "max-read-differences", DefaultText: "0", Usage: "shadow reads that differed in the last minute"}),
		gate(&cli.Float64Flag{Name: "min-hit-rate", DefaultText: "0.95", Usage: "of caches on the target, if it is lower than the source's; 0.95 is 95 percent"}),
		gate(duration("max-lag", "1s", "of replicas")),
		gate(duration("max-skew", "500ms", "between the clocks of both sides")),
		gate(duration("min-shadow", "168h", "for how long shadow should have run; it only warns")),
		gate(&cli.Float64Flag{Name: "max-memory", DefaultText: "0.9", Usage: "share of the target's memory that may be in use"}),
		gate(boolean("accept-bypass", "writers that do not use the migrating client are known and harmless")),
		duration("prepare-for", "45s", "how long a move may be prepared, a dead process of the app waited out"),
	}
}

// some picks flags by their names: a verb does not take what it would not heed.
func some(flags []cli.Flag, names ...string) (out []cli.Flag) {
	for _, f := range flags {
		if slices.Contains(names, f.Names()[0]) {
			out = append(out, f)
		}
	}
	return out
}

// gate puts a flag among the gates in the help.
func gate(f cli.Flag) cli.Flag {
	const gates = "GATES"
	switch f := f.(type) {
	case *cli.BoolFlag:
		f.Category = gates
	case *cli.DurationFlag:
		f.Category = gates
	case *cli.StringFlag:
		f.Category = gates
	case *cli.Float64Flag:
		f.Category = gates
	case *cli.Int64Flag:
		f.Category = gates
	}
	return f
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

// bounds takes what bounds a move. The coordinator says if it cannot be.
func (v *call) bounds(o *coordinator.Options) {
	o.Hold, o.MaxHold, o.PrepareFor = v.flags.Duration("hold"), v.flags.Duration("max-hold"), v.flags.Duration("prepare-for")
}

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
