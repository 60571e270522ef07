package main

import (
	"context"
	"encoding/json"
	"io"
	"testing"
	"time"

	"github.com/transload/transload/internal/redistest"
)

// TestShadowForPrograms reads what shadow prints for programs while it runs: one
// object after the other says how far it is, when the sides are equal, and that
// goodbye was said.
func TestShadowForPrograms(t *testing.T) {
	t.Parallel() // it waits for the first pass
	p := embeddedPair(t)
	if err := p.client(t, p.source).Set(t.Context(), "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	ctx, interrupt := context.WithTimeout(t.Context(), time.Minute)
	defer interrupt()
	lines, out := io.Pipe()
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, process{args: []string{"migrate", "shadow", "--no-members", "--json"},
			getenv: redistest.Getenv(p.env), out: out, errOut: t.Output()})
		out.Close()
	}()
	var last keptLine
	equal := false
	for d := json.NewDecoder(lines); ; {
		line := keptLine{}
		if err := d.Decode(&line); err != nil {
			break
		}
		if last = line; line.Stage == "" || line.Name != "default" || line.At.IsZero() {
			t.Errorf("got %+v; want stage, name and time", line)
		}
		if line.Equal && line.Phase == "shadow" {
			equal = true
			interrupt()
		}
	}
	if got := <-code; got != codeDone || !equal || last.Stage != "goodbye" {
		t.Errorf("got code %d, equal %v, at last %+v; want 0, equal, and a goodbye", got, equal, last)
	}
}
