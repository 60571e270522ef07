package main

import (
	"context"
	"errors"
	"io"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/migrate/coordinator"
)

func (p process) cutoverVerb() *cli.Command {
	return &cli.Command{
		Name:      "cutover",
		Usage:     "give authority to the target, step by step; a dry run without --execute",
		UsageText: "migrate cutover --to 10,50,100 [--only WORKLOAD] [--every 10m] [--execute]\nmigrate cutover --source-lost [--execute]",
		Description: "A dry run tells each gate with its figure and what each step would move, and exits with 3\n" +
			"if a gate is shut. If migrate shadow runs, it is asked to do the work and followed; else\n" +
			"all keys are compared first.",
		Flags: leading(append(append(executeFlags(),
			&cli.StringFlag{Name: "to", Usage: "rising `PERCENT`ages of each workload: 10,50,100"},
			&cli.StringSliceFlag{Name: "only", Usage: "move this `WORKLOAD` alone; may be given several times"},
			duration("every", "none", "pause between two steps"),
			gate(&cli.StringFlag{Name: "fence", Usage: "shut writers that do not use the migrating client out of the source: `acl` switches their users off"}),
		), append(lostFlag("source", "the source is gone for good: let the target answer for everything without it, and say what may be lost"), careFlags()...)...)...),
		Action: p.action(cutover),
	}
}

func cutover(ctx context.Context, v *call) error {
	do, err := v.execute()
	if err != nil {
		return err
	}
	if v.flags.Bool("source-lost") {
		return v.giveUp(ctx, protocol.Source, do, "to", "only", "every", "fence", "accept-bypass")
	}
	req := coordinator.CutoverRequest{Only: v.flags.StringSlice("only"), Every: v.flags.Duration("every"), Care: v.care()}
	if req.Fence, err = v.fence(); err != nil {
		return err
	}
	if req.To, err = steps(v.flags.String("to")); err != nil {
		return err
	}
	if req.Every < 0 {
		return usage("say for example --every 10m", "--every: %v is negative", req.Every)
	}
	co, err := v.open(v.bounds)
	if err != nil {
		return err
	}
	defer co.Close()
	if !do {
		p, err := co.PreviewCutover(ctx, req)
		return v.preview(p, err, "migrate cutover --to "+v.flags.String("to")+" --execute moves")
	}
	res, err := co.Cutover(ctx, req)
	return v.moved(res, err, len(res.Gates)+len(res.Moves), func(w io.Writer) { movesTable(w, res.Phase, res.Gates, res.Moves) })
}

// fence reads --fence.
func (v *call) fence() (string, error) {
	switch how := v.flags.String("fence"); {
	case how != "" && how != coordinator.FenceACL:
		return "", usage("say --fence acl", "--fence: %q is unknown", how)
	case how != "" && v.flags.Bool("accept-bypass"):
		return "", usage("say one of them", "--fence and --accept-bypass exclude each other")
	default:
		return how, nil
	}
}

// preview prints a dry run. A gate that is shut is an error all the same.
func (v *call) preview(p coordinator.Preview, err error, next string) error {
	if err != nil {
		v.screen.done()
		return err
	}
	if err := v.screen.value(p, func(w io.Writer) { previewTable(w, p) }); err != nil {
		return err
	}
	if err := p.Err(); err != nil {
		return err
	}
	v.screen.say("\nThis was a dry run: nothing was moved. %s.", next)
	return nil
}

// moved prints how a verb that moves went, as far as it came.
func (v *call) moved(res any, err error, parts int, table func(io.Writer)) error {
	if parts == 0 && err != nil {
		v.screen.done()
		return err
	}
	return errors.Join(v.screen.value(res, table), err)
}

// steps reads --to.
func steps(text string) ([]int, error) {
	const next = "say how far, in rising steps of 1 to 100 percent: --to 10,50,100"
	if text == "" {
		return nil, usage(next, "--to is missing")
	}
	var out []int
	for _, part := range strings.Split(text, ",") {
		n, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(part), "%"))
		switch {
		case err != nil:
			return nil, usage(next, "--to: %q is no number", part)
		case n < 1 || n > 100:
			return nil, usage(next, "--to: %d is not between 1 and 100", n)
		case len(out) > 0 && n <= out[len(out)-1]:
			return nil, usage(next, "--to: %d comes after %d", n, out[len(out)-1])
		}
		out = append(out, n)
	}
	return out, nil
}
