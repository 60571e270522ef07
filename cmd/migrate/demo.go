package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/transload/transload/internal/load"
)

// demoLimit bounds a demonstration without --keys; on a quiet machine it takes half
// a minute.
const demoLimit = 5 * time.Minute

func (p process) demoVerb() *cli.Command {
	return &cli.Command{
		Name:  "demo",
		Usage: "show a whole migration and its verdict, on Redis servers of its own, in under a minute",
		Description: "embedded needs nothing; sentinel and cluster run real redis-server processes.\n" +
			"The last line is `demo: PASS acknowledged=N lost=0 ...`, or FAIL with exit code 2.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "mode", Value: "embedded", Usage: "the target's `MODE`: " + strings.Join(demoModes, ", ")},
			&cli.IntFlag{Name: "rate", DefaultText: "100, real servers 500", Usage: "load of each of the app's processes, in `COMMANDS` a second"},
			&cli.IntFlag{Name: "keys", DefaultText: "none", Usage: "`KEYS` that the source has before the app starts; with sentinel or cluster only"},
			jsonFlag(), verboseFlag(),
		},
		Action: p.action(demonstrate),
	}
}

// A demoResult is the verdict.
type demoResult struct {
	Mode       string       `json:"mode"`
	Pass       bool         `json:"pass"`
	Verdict    load.Verdict `json:"verdict"`
	Stock      stockResult  `json:"stock"`
	Differing  int64        `json:"differing"`
	HoldsMS    []float64    `json:"holds_ms"`
	WaitMS     float64      `json:"longest_wait_ms"` // of one write, for a hold
	WritesPerS float64      `json:"writes_s"`        // acknowledged, from the app's start to its end
	PeakMiB    float64      `json:"peak_mib"`        // of the coordinator's process, until finish
	TookS      float64      `json:"took_s"`
	Trouble    string       `json:"trouble,omitempty"` // what broke on the way to the verdict
}

// judge decides. Whatever the app lost, or was shown of the migration, fails.
func (r *demoResult) judge() {
	r.Pass = r.Trouble == "" && r.Verdict.OK() && len(r.Verdict.Errors) == 0 &&
		r.Verdict.Acknowledged > 0 && r.Differing == 0 && r.Stock.Lost == 0
}

// line is the demonstration's last one: scripts look for it.
func (r *demoResult) line() string {
	word := "FAIL"
	if r.Pass {
		word = "PASS"
	}
	median, longest := 0.0, 0.0
	if holds := slices.Sorted(slices.Values(r.HoldsMS)); len(holds) > 0 {
		median, longest = holds[len(holds)/2], holds[len(holds)-1]
	}
	return fmt.Sprintf("demo: %s acknowledged=%d lost=%d differing=%d hold_median_ms=%.1f hold_max_ms=%.1f",
		word, r.Verdict.Acknowledged, r.Verdict.Lost+r.Stock.Lost, r.Differing, median, longest)
}

// why tells people what is wrong.
func (r *demoResult) why() []string {
	var out []string
	if r.Trouble != "" {
		out = append(out, r.Trouble)
	}
	out = append(out, r.Verdict.Samples...)
	out = append(out, r.Stock.Samples...)
	for text, n := range r.Verdict.Errors {
		out = append(out, fmt.Sprintf("the app was shown %d times: %s", n, text))
	}
	return out
}

func demonstrate(ctx context.Context, v *call) (err error) {
	mode := v.flags.String("mode")
	if !slices.Contains(demoModes, mode) {
		return usage("migrate demo --mode embedded, sentinel or cluster", "--mode %q is unknown", mode)
	}
	if rate := v.flags.Int("rate"); rate < 0 || rate > 10_000 {
		return usage("leave --rate out, or say for example --rate 200", "--rate: %d is not between 1 and 10000", rate)
	}
	keys := v.flags.Int("keys")
	if keys < 0 || keys > maxStock {
		return usage("say for example --mode sentinel --keys 100000", "--keys: %d is not between 0 and %d", keys, maxStock)
	}
	if keys > 0 && mode == "embedded" {
		return usage("say --mode sentinel or --mode cluster as well", "--keys: an embedded server is too slow for many keys")
	}
	limit := demoLimit + time.Duration(keys)*perKey
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("the demonstration took longer than %v", limit))
	defer cancel()
	began, peak := time.Now(), watchPeak()
	defer peak.stop()
	stage, err := setStage(ctx, mode)
	if err != nil {
		return err
	}
	d := &demo{call: v, stage: stage, peak: peak, result: demoResult{Mode: mode, HoldsMS: []float64{}, Stock: stockResult{Keys: keys}}}
	if err := d.play(ctx); err != nil {
		d.result.Trouble = err.Error()
	}
	if err := d.close(); err != nil && d.result.Trouble == "" {
		d.result.Trouble = err.Error()
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return context.Cause(ctx)
	}
	d.result.TookS = time.Since(began).Seconds()
	return d.tell()
}

// tell prints the verdict.
func (d *demo) tell() error {
	r := &d.result
	r.judge()
	d.screen.say("")
	for _, line := range r.why() {
		d.screen.say("   wrong: %s", line)
	}
	if err := d.screen.value(r, func(io.Writer) {}); err != nil {
		return err
	}
	d.screen.say("%s", r.line()) // not by way of a table: scripts look for it
	if !r.Pass {
		return &failure{"the demonstration failed", "the lines above tell why; please report them"}
	}
	return nil
}
