package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/transload/transload/migrate/coordinator"
	"github.com/transload/transload/topology"
)

// TestExitCodes holds each kind of error against docs/cli.md.
func TestExitCodes(t *testing.T) {
	refusal := &coordinator.Refusal{Gate: "members", Figure: "none", Next: "deploy"}
	for name, tt := range map[string]struct {
		err  error
		code int
		next string
	}{
		"broke":             {errors.New("dial: refused"), codeBroke, "migrate check"},
		"interrupted":       {fmt.Errorf("x: %w", context.Canceled), codeBroke, "migrate status"},
		"replaced":          {fmt.Errorf("x: %w", coordinator.ErrReplaced), codeBroke, "migrate status"},
		"differ":            {fmt.Errorf("%w: 3 of 9 keys", coordinator.ErrDiffer), codeFailed, "verify again"},
		"demo":              {&failure{"failed", "report"}, codeFailed, "report"},
		"refused":           {fmt.Errorf("x: %w", refusal), codeRefused, "deploy"},
		"running":           {fmt.Errorf("%w: c1", coordinator.ErrRunning), codeRefused, "Ctrl-C"},
		"mode":              {fmt.Errorf("x: %w", &topology.ModeError{Told: topology.Cluster, Addr: "a:1", Found: "a replica", Next: "name its primary"}), codeRefused, "name its primary"},
		"aborted":           {fmt.Errorf("%w: late", coordinator.ErrAborted), codeAborted, "given again"},
		"aborted by a gate": {errors.Join(coordinator.ErrAborted, refusal), codeAborted, "deploy"},
		"usage":             {usage("say so", "bad"), codeUsage, "say so"},
		"option":            {fmt.Errorf("%w: Hold", coordinator.ErrOption), codeUsage, "--help"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if code := report(&out, tt.err, false); code != tt.code {
				t.Errorf("got code %d; want %d", code, tt.code)
			}
			if _, next, _ := strings.Cut(out.String(), "\nnext: "); !strings.Contains(next, tt.next) {
				t.Errorf("got %q; want a next step with %q", out.String(), tt.next)
			}
		})
	}
}
