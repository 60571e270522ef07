package contract

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/migrate"
	"github.com/transload/transload/migrate/coordinator"
	"github.com/transload/transload/topology"
)

// within is how long a step may take on a busy machine.
const within = time.Minute

// A Migration is an app's clients, and who moves them. Its steps fail the test that
// takes them, and return when every member has obeyed.
type Migration struct {
	Members []*migrate.Client
	// Hold bounds the hold of each move. The default is 2s.
	Hold        time.Duration
	coordinator *coordinator.Coordinator
}

// Begin opens members, whose migration is off.
func Begin(t *testing.T, members int, source, target topology.Config) *Migration {
	t.Helper()
	return BeginWith(t, nil, members, source, target)
}

// BeginWith is Begin with other workloads than the default ones.
func BeginWith(t *testing.T, workloads []migrate.Workload, members int, source, target topology.Config) *Migration {
	t.Helper()
	m := &Migration{}
	ready, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	for i := range members {
		c, err := migrate.Open(t.Context(), migrate.Options{Source: source, Target: target, Workloads: workloads, Logger: logger(t, fmt.Sprint("member ", i))})
		if err != nil {
			t.Fatal(err)
		}
		if err := closed(t, c).Ready(ready); err != nil {
			t.Fatal(err)
		}
		m.Members = append(m.Members, c)
	}
	co, err := coordinator.Open(coordinator.Options{Source: source, Target: target, Logger: logger(t, "coordinator"), Hold: 2 * time.Second,
		// That a machine is busy with other tests is no fault of what is tried here.
		Limits: coordinator.Limits{P99: time.Minute, MirrorFails: 1000, ReadsDiffer: 1000, Lag: time.Minute}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = co.Close() })
	m.coordinator = co
	return m
}

// reaches waits until every member is in a phase.
func (m *Migration) reaches(t *testing.T, want string) {
	t.Helper()
	redistest.Eventually(t, within, func() error {
		for _, c := range m.Members {
			if got := c.Phase(); got != want {
				return fmt.Errorf("a member is in %s; want %s", got, want)
			}
		}
		return nil
	})
}

// Shadow begins the migration. A cutover waits for the pass by itself; it is enough
// that the members obey.
func (m *Migration) Shadow(t *testing.T) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = m.coordinator.Shadow(ctx) }()
	defer func() { stop(); <-ended }()
	m.reaches(t, "shadow")
}

// Cutover moves so many percent of every workload.
func (m *Migration) Cutover(t *testing.T, percent int) {
	t.Helper()
	again(t, fmt.Sprint("cutover to ", percent), func() error {
		_, err := m.coordinator.Cutover(t.Context(), coordinator.CutoverRequest{To: []int{percent}, Care: coordinator.Care{Hold: m.Hold}})
		return err
	})
}

// Rollback moves everything back.
func (m *Migration) Rollback(t *testing.T) {
	t.Helper()
	again(t, "rollback", func() error {
		_, err := m.coordinator.Rollback(t.Context(), coordinator.RollbackRequest{Care: coordinator.Care{Hold: m.Hold}})
		return err
	})
	m.reaches(t, "shadow")
}

// again tries as an operator would: on a busy machine a hold may pass its bound.
func again(t *testing.T, name string, move func() error) {
	t.Helper()
	for range 5 {
		err := move()
		if err == nil {
			return
		}
		if !errors.Is(err, coordinator.ErrAborted) {
			t.Fatalf("%s: %v", name, err)
		}
	}
	t.Fatalf("%s: five moves in a row were aborted", name)
}

// Finish ends the migration.
func (m *Migration) Finish(t *testing.T) {
	t.Helper()
	if _, err := m.coordinator.Finish(t.Context(), coordinator.FinishRequest{MinSoak: -1}); err != nil {
		t.Fatalf("finish: %v", err)
	}
	m.reaches(t, "done")
}

// logger writes what a part logs to the test's log while the test runs.
func logger(t *testing.T, who string) *slog.Logger {
	return slog.New(slog.NewTextHandler(writer{t}, nil)).With("who", who)
}

type writer struct{ t *testing.T }

func (w writer) Write(b []byte) (int, error) {
	if w.t.Context().Err() == nil {
		w.t.Log(string(b[:len(b)-1]))
	}
	return len(b), nil
}
