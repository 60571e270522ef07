package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/transload/transload/migrate/coordinator"
)

// events prints the audit. What one side has is printed though the other does
// not answer.
func (v *call) events(ctx context.Context, co *coordinator.Coordinator) error {
	list, err := co.Events(ctx, v.flags.Int("last"))
	if err != nil && len(list) == 0 {
		return err
	}
	if list == nil {
		list = []coordinator.Event{} // an empty list in JSON
	}
	return errors.Join(v.screen.value(list, func(w io.Writer) { eventsTable(w, list) }), err)
}

func eventsTable(w io.Writer, list []coordinator.Event) {
	if len(list) == 0 {
		fmt.Fprintln(w, "nothing has been done yet")
	}
	for _, e := range list {
		why := e.Why
		for _, name := range sorted(e.Figures) {
			why += fmt.Sprintf(" %s=%s", name, e.Figures[name])
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", e.At.UTC().Format(time.RFC3339), e.What, e.Who, strings.TrimSpace(why))
	}
}
