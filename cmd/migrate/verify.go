package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/transload/transload/migrate/coordinator"
)

func (p process) verifyVerb() *cli.Command {
	return &cli.Command{
		Name:  "verify",
		Usage: "compare both sides, and exit with 2 if they differ",
		Description: "It changes nothing, and may run beside everything else. A key that differs is looked at\n" +
			"again for up to five seconds before it counts: under load most differences are copies on\n" +
			"their way.",
		Flags: options(
			&cli.IntFlag{Name: "sample", DefaultText: "all", Usage: "compare about `N` keys of each side, taken at random"},
			&cli.IntFlag{Name: "rate", DefaultText: "none", Usage: "compare at most so many `KEYS` a second"},
			boolean("no-members", "go on though no process of the app is on the roll"),
			verboseFlag(),
		),
		Action: p.action(verify),
	}
}

func verify(ctx context.Context, v *call) error {
	if n := v.flags.Int("sample"); v.flags.IsSet("sample") && n < 1 {
		return usage("leave --sample out to compare all keys", "--sample: %d is under 1", n)
	}
	co, err := v.open(func(o *coordinator.Options) { o.Rate = v.flags.Int("rate") })
	if err != nil {
		return err
	}
	defer co.Close()
	rep, err := co.Verify(ctx, coordinator.VerifyRequest{Sample: v.flags.Int("sample")})
	if err != nil && !errors.Is(err, coordinator.ErrDiffer) {
		v.screen.done()
		return err
	}
	return errors.Join(v.screen.value(rep, func(w io.Writer) { verifyTable(w, rep) }), err)
}

func verifyTable(w io.Writer, rep coordinator.VerifyReport) {
	fmt.Fprintf(w, "compared\t%s keys in %.1f s (phase %v)\n", grouped(rep.Compared), rep.Took, rep.Phase)
	fmt.Fprintf(w, "different\t%s\n", grouped(rep.Different))
	if rep.Failed > 0 {
		fmt.Fprintf(w, "not compared\t%s\n", grouped(rep.Failed))
	}
	if rep.Skipped > 0 {
		fmt.Fprintf(w, "cold\t%s, which are not carried\n", grouped(rep.Skipped))
	}
	for _, name := range sorted(rep.Workloads) {
		var kinds []string
		for _, kind := range sorted(rep.Workloads[name]) {
			kinds = append(kinds, fmt.Sprintf("%d %s", rep.Workloads[name][kind], kind))
		}
		fmt.Fprintf(w, "  %s\t%s\n", name, strings.Join(kinds, ", "))
	}
	for _, d := range rep.Examples {
		fmt.Fprintf(w, "  %q\t%s; the %v has the authority\n", d.Key, d.Kind, d.Authority)
	}
}
