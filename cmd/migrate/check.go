package main

import (
	"context"
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"github.com/transload/transload/migrate/coordinator"
)

func (p process) checkVerb() *cli.Command {
	return &cli.Command{
		Name:  "check",
		Usage: "try everything that a migration needs, and say what is wrong",
		Description: "Each line is ok, warn or refuse, with its figure and the next step. It changes nothing, and\n" +
			"may run beside everything else. Exits with 3 if a line refuses.",
		Flags: options(
			boolean("no-members", "do not ask for processes of the app"),
			boolean("all", "print the lines that are ok too, one by one"),
			verboseFlag(),
		),
		Action: p.action(check),
	}
}

func check(ctx context.Context, v *call) error {
	co, err := v.open()
	if err != nil {
		return err
	}
	defer co.Close()
	rep, err := co.Check(ctx)
	if err != nil {
		v.screen.done()
		return err
	}
	if err := v.screen.value(rep, func(w io.Writer) { checkTable(w, rep, v.flags.Bool("all")) }); err != nil {
		return err
	}
	return rep.Refusal()
}

// checkTable tells what was found, the worst last, where people look first.
func checkTable(w io.Writer, rep coordinator.CheckReport, all bool) {
	for _, verdict := range []coordinator.Verdict{coordinator.OK, coordinator.Warn, coordinator.Refused} {
		if verdict == coordinator.OK && !all {
			continue
		}
		for _, l := range rep.Lines {
			if l.Verdict != verdict {
				continue
			}
			fmt.Fprintf(w, "%s\t%s\t%s\n", l.Verdict, question(l), l.Figure)
			if l.Next != "" {
				fmt.Fprintf(w, "\t\tnext: %s\n", l.Next)
			}
		}
	}
	ok, warn, refuse := tally(rep)
	fmt.Fprintf(w, "%d ok, %s, %s\n", ok, counted(warn, "warning"), counted(refuse, "refusal"))
}

func question(l coordinator.CheckLine) string {
	if l.Side == "" {
		return l.Check
	}
	return l.Side + ": " + l.Check
}

func tally(rep coordinator.CheckReport) (ok, warn, refuse int) {
	for _, l := range rep.Lines {
		switch l.Verdict {
		case coordinator.OK:
			ok++
		case coordinator.Refused:
			refuse++
		default:
			warn++
		}
	}
	return ok, warn, refuse
}
