package main

import (
	"context"
	"io"

	"github.com/urfave/cli/v2"

	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/migrate/coordinator"
)

func (p process) rollbackVerb() *cli.Command {
	return &cli.Command{
		Name:  "rollback",
		Usage: "give all authority back to the source; from shadow: end the migration",
		Description: "The same move as cutover in the other direction, with the same proof: what was written\n" +
			"meanwhile comes along. It ends a cutover that runs. From shadow it goes to off. A dry run\n" +
			"without --execute.",
		Flags: leading(append(append(executeFlags(),
			lostFlag("target", "the target is gone for good: let the source answer for everything without it, and say what may be lost")...), careFlags()...)...),
		Action: p.action(rollback),
	}
}

func rollback(ctx context.Context, v *call) error {
	do, err := v.execute()
	if err != nil {
		return err
	}
	if v.flags.Bool("target-lost") {
		return v.giveUp(ctx, protocol.Target, do, "accept-bypass")
	}
	co, err := v.open(v.bounds)
	if err != nil {
		return err
	}
	defer co.Close()
	req := coordinator.RollbackRequest{Care: v.care()}
	if !do {
		p, err := co.PreviewRollback(ctx, req)
		return v.preview(p, err, "migrate rollback --execute does it")
	}
	res, err := co.Rollback(ctx, req)
	parts := len(res.Gates) + len(res.Moves)
	if err == nil {
		parts++ // to off: nothing moves
	}
	return v.moved(res, err, parts, func(w io.Writer) { movesTable(w, res.Phase, res.Gates, res.Moves) })
}
