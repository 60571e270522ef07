package journey

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/migrate"
	"github.com/transload/transload/migrate/coordinator"
	"github.com/transload/transload/topology"
)

func TestMain(m *testing.M) { os.Exit(redistest.Main(m)) }

// A journey is a migration under way: members of an app, and who moves them.
type journey struct {
	source, target topology.Config
	members        []*migrate.Client
	coordinator    *coordinator.Coordinator
}

// targets are the modes that a standalone source is moved to.
var targets = map[string]func(*testing.T) topology.Config{
	"sentinel": func(t *testing.T) topology.Config { return config(t, redistest.Sentinel(t, redistest.Options{})) },
	"cluster":  func(t *testing.T) topology.Config { return config(t, redistest.Cluster(t, redistest.Options{})) },
}

func config(t *testing.T, s interface {
	Env(string) map[string]string
}) topology.Config {
	t.Helper()
	cfg, err := topology.FromEnv("REDIS", redistest.Getenv(s.Env("REDIS")))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// begin starts members of an app on a standalone source and a target.
func begin(t *testing.T, members int, target topology.Config) *journey {
	t.Helper()
	j := &journey{source: config(t, redistest.Standalone(t, redistest.Options{})), target: target}
	for i := range members {
		c, err := migrate.Open(t.Context(), migrate.Options{Source: j.source, Target: j.target, Logger: logger(t, fmt.Sprint("member ", i))})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		ready, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		if err := c.Ready(ready); err != nil {
			t.Fatal(err)
		}
		j.members = append(j.members, c)
	}
	co, err := coordinator.Open(coordinator.Options{Source: j.source, Target: j.target, Logger: logger(t, "coordinator"),
		Hold: 2 * time.Second,
		// A machine that is busy with other tests is slow, and that is no fault of
		// what is tried here.
		Limits: coordinator.Limits{P99: time.Minute, MirrorFails: 1000, ReadsDiffer: 1000, Lag: time.Minute}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = co.Close() })
	j.coordinator = co
	return j
}

// shadow begins the migration and returns once the sides are equal.
func (j *journey) shadow(t *testing.T) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- j.coordinator.Shadow(ctx) }()
	// A cutover waits for the pass by itself; here it is enough that members obey.
	redistest.Eventually(t, 30*time.Second, func() error {
		for _, m := range j.members {
			if p := m.Phase(); p != "shadow" {
				return fmt.Errorf("a member is in %s", p)
			}
		}
		return nil
	})
	stop()
	<-ended
}

func (j *journey) cutover(t *testing.T, to ...int) {
	t.Helper()
	for _, percent := range to {
		again(t, func() error {
			res, err := j.coordinator.Cutover(t.Context(), coordinator.CutoverRequest{To: []int{percent}})
			t.Logf("cutover to %d: %+v, %v", percent, res.Moves, err)
			return err
		})
	}
}

// again tries a move as an operator would: on a machine that is busy with other
// tests a hold may pass its bound, and is then aborted.
func again(t *testing.T, move func() error) {
	t.Helper()
	for range 5 {
		err := move()
		if err == nil {
			return
		}
		if !errors.Is(err, coordinator.ErrAborted) {
			t.Fatal(err)
		}
	}
	t.Fatal("five moves in a row were aborted")
}

func (j *journey) rollback(t *testing.T) {
	t.Helper()
	again(t, func() error {
		res, err := j.coordinator.Rollback(t.Context(), coordinator.RollbackRequest{})
		t.Logf("rollback: %+v, %v", res.Moves, err)
		return err
	})
}

func (j *journey) finish(t *testing.T) {
	t.Helper()
	if _, err := j.coordinator.Finish(t.Context(), coordinator.FinishRequest{MinSoak: -1}); err != nil {
		t.Fatalf("finish: %v", err)
	}
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
