package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/migrate"
	"github.com/transload/transload/migrate/coordinator"
)

// lostFlag gives a side up. The name must be typed, so that nobody does it by
// taking a line from the shell's history.
func lostFlag(side, usage string) []cli.Flag {
	return []cli.Flag{boolean(side+"-lost", usage), yesFlag()}
}

// giveUp has the other side answer for everything without the one that is lost.
// not are the verb's options that make no sense then.
func (v *call) giveUp(ctx context.Context, lost protocol.Side, do bool, not ...string) error {
	for _, name := range not {
		if v.flags.IsSet(name) {
			return usage("leave --"+name+" out", "--%v-lost takes everything at once, without proof: --%s says nothing then", lost, name)
		}
	}
	co, err := v.open()
	if err != nil {
		return err
	}
	defer co.Close()
	req := coordinator.GiveUpRequest{Lost: lost}
	look, err := co.PreviewGiveUp(ctx, req)
	if err != nil {
		v.screen.done()
		return err
	}
	if !do || look.Err() != nil {
		if err := v.screen.value(look, func(w io.Writer) { giveUpTable(w, look) }); err != nil || look.Err() != nil {
			return orError(look.Err(), err)
		}
		v.screen.say("\nThis was a dry run: nothing was changed. With --execute the %v answers for everything, and what only the %v has is lost.", lost.Other(), lost)
		return nil
	}
	if !v.screen.json {
		if err := v.screen.value(look, func(w io.Writer) { giveUpTable(w, look) }); err != nil {
			return err
		}
	}
	if err := v.confirm(fmt.Sprintf("What only the %v has is lost by this. Make sure that it has ended, and that no process of the app reaches it.", lost)); err != nil {
		return err
	}
	res, err := co.GiveUp(ctx, req)
	if !res.Taken {
		v.screen.done()
		return err
	}
	return orError(err, v.screen.value(res, func(w io.Writer) { givenUpTable(w, res) }))
}

func orError(err, or error) error {
	if err != nil {
		return err
	}
	return or
}

// giveUpTable tells what stands in the way, and what may be lost.
func giveUpTable(w io.Writer, r coordinator.GiveUpReport) {
	gatesTable(w, r.Gates)
	riskTable(w, r.Risk)
}

func givenUpTable(w io.Writer, r coordinator.GiveUpReport) {
	fmt.Fprintf(w, "given up\tthe %v; the %v answers for everything\n", r.Lost, r.Lost.Other())
	riskTable(w, r.Risk)
	for _, id := range r.Unfenced {
		fmt.Fprintf(w, "not fenced\t%s said nothing: make sure that it has ended\n", id)
	}
	fmt.Fprintf(w, "phase\t%v\n", r.Phase)
	fmt.Fprintf(w, "next\tdocs/emergency.md: what to do when the %v comes back, or never does\n", r.Lost)
}

// riskTable tells by workload what is known to be on one side alone.
func riskTable(w io.Writer, r coordinator.Risk) {
	for _, part := range []struct {
		who string
		by  map[string]migrate.Waiting
	}{{"not copied yet by the app", r.Members}, {"changed, and not compared since", r.Coordinator}} {
		for _, name := range sorted(part.by) {
			x := part.by[name]
			fmt.Fprintf(w, "may be lost\t%s: %s %s, since %s: %s\n", name, counted(x.Keys, "key"), part.who, x.Since.UTC().Format(time.RFC3339), hashes(x))
		}
	}
	if r.Dropped > 0 {
		fmt.Fprintf(w, "given up\t%d copies, since the app's processes began: repaired as long as migrate shadow ran\n", r.Dropped)
	}
	switch {
	case r.VerifiedAt.IsZero():
		fmt.Fprintln(w, "compared\tnever to the end: what was not copied before is lost, and nobody can tell how much that is")
	default:
		fmt.Fprintf(w, "compared\tevery key at %s; changes were told of until %s\n", r.VerifiedAt.UTC().Format(time.RFC3339), r.ToldAt.UTC().Format(time.RFC3339))
	}
}

func hashes(x migrate.Waiting) string {
	out := make([]string, len(x.Hashes))
	for i, hash := range x.Hashes {
		out[i] = "#" + hash
	}
	if more := x.Keys - len(out); more > 0 {
		out = append(out, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(out, ", ")
}
