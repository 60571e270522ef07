package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/transload/transload/migrate/coordinator"
)

func (p process) finishVerb() *cli.Command {
	return &cli.Command{
		Name:  "finish",
		Usage: "let go of the source: the target alone answers, and there is no way back",
		Description: "The migration's name must be typed back, or --yes given. The records stay in both Redis,\n" +
			"so that a process which starts later with both sides set does not use the source.",
		Flags: leading(append(some(careFlags(), "max-mirror-errors", "accept-bypass", "prepare-for"), yesFlag(),
			gate(duration("min-soak", "24h", "for how long the target must have answered all")),
			boolean("purge", "remove all that the migration kept for itself but the records"),
		)...),
		Action: p.action(finish),
	}
}

func finish(ctx context.Context, v *call) error {
	co, err := v.open(v.bounds)
	if err != nil {
		return err
	}
	defer co.Close()
	if err := v.confirm("After this there is no way back: nothing is copied to the source any more."); err != nil {
		return err
	}
	req := coordinator.FinishRequest{MinSoak: v.flags.Duration("min-soak"), Purge: v.flags.Bool("purge"), Care: v.care()}
	if v.flags.IsSet("min-soak") && req.MinSoak == 0 {
		req.MinSoak = -1 // none, which is not the default
	}
	res, err := co.Finish(ctx, req)
	return v.moved(res, err, len(res.Gates), func(w io.Writer) {
		gatesTable(w, res.Gates)
		fmt.Fprintf(w, "phase\t%v\n", res.Phase)
		if req.Purge {
			fmt.Fprintf(w, "purged\t%d keys\n", res.Purged)
		}
		if err == nil {
			fmt.Fprintln(w, "next\tset REDIS_* to the target, unset REDIS_TARGET_*, deploy; then migrate forget")
		}
	})
}

// confirm has the migration's name typed back, unless --yes says so.
func (v *call) confirm(what string) error {
	if v.flags.Bool("yes") {
		return nil
	}
	fmt.Fprintf(v.errOut, "%s\nType the migration's name (%s) to go on: ", what, v.name())
	line, _ := bufio.NewReader(v.in).ReadString('\n') // an end of input is an empty answer
	fmt.Fprintln(v.errOut)
	if typed := strings.TrimSpace(line); typed != v.name() {
		return &coordinator.Refusal{
			Gate: "confirmation", Figure: fmt.Sprintf("%q was typed; nothing was changed", typed),
			Next: fmt.Sprintf("type %s, or say --yes in a script", v.name()),
		}
	}
	return nil
}

func yesFlag() cli.Flag {
	return boolean("yes", "do not ask for the migration's name")
}
