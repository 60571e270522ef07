package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/transload/transload/migrate/coordinator"
)

func (p process) forgetVerb() *cli.Command {
	return &cli.Command{
		Name:  "forget",
		Usage: "remove what the migration keeps in both Redis, once the app does not use it any more",
		Description: "Refuses while a process of the app is on the roll or was seen of late: one that starts with\n" +
			"both sides set and finds no record uses the source, which after finish is the wrong one.\n" +
			"The app's own keys are left alone. The migration's name must be typed back, or --yes given.",
		Flags: leading(yesFlag(),
			duration("quiet", "1h", "for how long no process of the app may have been seen"),
		),
		Action: p.action(forget),
	}
}

func forget(ctx context.Context, v *call) error {
	req := coordinator.ForgetRequest{Quiet: v.flags.Duration("quiet")}
	if v.flags.IsSet("quiet") && req.Quiet == 0 {
		req.Quiet = -1 // no time, which is not the default
	}
	co, err := v.open()
	if err != nil {
		return err
	}
	defer co.Close()
	if err := v.confirm("This removes the migration's records, roll and audit from both Redis."); err != nil {
		return err
	}
	rep, err := co.Forget(ctx, req)
	if err != nil {
		v.screen.done()
		return err
	}
	return v.screen.value(rep, func(w io.Writer) { forgetTable(w, rep) })
}

func forgetTable(w io.Writer, rep coordinator.ForgetReport) {
	fmt.Fprintf(w, "phase\t%v\n", rep.Phase)
	fmt.Fprintf(w, "removed\t%d keys\n", rep.Removed)
	for _, id := range rep.Silent {
		fmt.Fprintf(w, "silent\t%s was still on the roll\n", id)
	}
	if rep.Last != "" {
		fmt.Fprintf(w, "last seen\t%s at %s\n", rep.Last, rep.LastSeen.UTC().Format(time.RFC3339))
	}
}
