package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/transload/transload/internal/drill"
	"github.com/transload/transload/migrate/coordinator"
	"github.com/transload/transload/topology"
)

// The exit codes. They are documented in docs/cli.md: scripts branch on them.
const (
	codeDone    = 0  // done; for a dry run: every gate is open
	codeBroke   = 1  // something broke: a server did not answer, say
	codeFailed  = 2  // the check itself ran, and failed: sides differ, the demo lost a write
	codeRefused = 3  // a gate is shut; nothing was changed
	codeAborted = 4  // a move was begun and given up; authority is where it was
	codeUsage   = 64 // unknown verb, bad option, bad setting (EX_USAGE of sysexits.h)
)

// A usageError means that what was asked cannot be understood. Nothing was done.
type usageError struct {
	err  error
	next string
}

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usage(next, format string, args ...any) error {
	return &usageError{fmt.Errorf(format, args...), next}
}

// A failure means that what was asked for ran, and that its answer is no. It has
// been printed already, in full.
type failure struct{ text, next string }

func (e *failure) Error() string { return e.text }

// outcome is how a program learns why a verb failed.
type outcome struct {
	Error  string `json:"error"`
	Code   int    `json:"code"`
	Gate   string `json:"gate,omitempty"`
	Figure string `json:"figure,omitempty"`
	Next   string `json:"next,omitempty"`
}

// report prints an error with its next step, and returns its exit code.
func report(w io.Writer, err error, asJSON bool) int {
	o := outcomeOf(err)
	if asJSON {
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		_ = e.Encode(o) // to where errors go: nobody is left to tell
		return o.Code
	}
	for line := range strings.Lines(o.Error) {
		fmt.Fprintln(w, "migrate:", strings.TrimSpace(line))
	}
	if o.Next != "" {
		fmt.Fprintln(w, "next:", o.Next)
	}
	return o.Code
}

// outcomeOf says what an error means to whoever called the verb.
func outcomeOf(err error) outcome {
	o := outcome{Error: err.Error(), Code: codeBroke}
	if r, ok := errors.AsType[*coordinator.Refusal](err); ok {
		o.Code, o.Gate, o.Figure, o.Next = codeRefused, r.Gate, r.Figure, r.Next
		o.Error = fmt.Sprintf("refused: %s: %s", r.Gate, r.Figure)
	}
	if s, ok := errors.AsType[*coordinator.SideError](err); ok {
		o.Next = s.Next
	}
	if u, ok := errors.AsType[*usageError](err); ok {
		o.Code, o.Next = codeUsage, u.next
	}
	if f, ok := errors.AsType[*failure](err); ok {
		o.Code, o.Next = codeFailed, f.next
	}
	if r, ok := errors.AsType[*drill.Refusal](err); ok {
		o.Code, o.Gate, o.Figure, o.Next = codeRefused, r.Gate, r.Figure, r.Next
		o.Error = fmt.Sprintf("refused: %s: %s", r.Gate, r.Figure)
	}
	if _, ok := errors.AsType[*drill.HandoverError](err); ok {
		o.Next = "docs/failover.md tells each step and how to look at its outcome"
	}
	if _, ok := errors.AsType[*drill.Interrupted](err); ok {
		o.Next = "docs/failover.md tells what an interrupted one leaves; the same command may be given again"
	}
	if m, ok := errors.AsType[*topology.ModeError](err); ok {
		o.Code, o.Gate, o.Next = codeRefused, "mode", m.Next
		o.Figure = fmt.Sprintf("%s was told, but %s is %s", m.Told, m.Addr, m.Found)
		o.Error = "refused: mode: " + o.Figure
	}
	if errors.Is(err, coordinator.ErrOtherSide) {
		o.Code, o.Gate, o.Figure = codeRefused, "control record", err.Error()
		o.Error, o.Next = "refused: control record: "+o.Figure, "docs/moving.md, What if I move again?"
	}
	switch {
	case errors.Is(err, coordinator.ErrAborted):
		o.Code, o.Error = codeAborted, err.Error()
		if o.Next == "" {
			o.Next = "migrate status shows where it stands; the same command may be given again"
		}
	case errors.Is(err, coordinator.ErrDiffer):
		o.Code, o.Next = codeFailed, "while migrate shadow runs it repairs what differs; then verify again"
	case errors.Is(err, coordinator.ErrRunning):
		o.Code, o.Gate, o.Next = codeRefused, "lock", "follow it with migrate status --watch, or end it with Ctrl-C where it runs"
	case errors.Is(err, coordinator.ErrReplaced):
		o.Next = "migrate status names the one that took over; only one at a time can lead"
	case errors.Is(err, coordinator.ErrOption):
		o.Code, o.Next = codeUsage, "migrate VERB --help lists the options"
		o.Error = strings.ReplaceAll(o.Error, coordinator.ErrOption.Error()+": ", "")
	case errors.Is(err, context.Canceled) && o.Code == codeBroke && o.Next == "":
		o.Error, o.Next = "interrupted", "migrate status shows where the migration stands"
	case o.Code == codeBroke && o.Next == "":
		o.Next = "migrate check tries each server and says what is wrong with it"
	}
	return o
}
