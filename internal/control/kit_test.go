package control

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/topology"
	"github.com/transload/transload/topology/embedded"
)

// After as many failed dials as PoolSize go-redis tries the address once a second
// by itself, and notices only then that the client was closed.
func TestMain(m *testing.M) {
	os.Exit(redistest.Main(m, goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial")))
}

// open returns a store, named after the test, on the server or set of an
// environment.
func open(t *testing.T, env map[string]string) *Store {
	t.Helper()
	cfg, err := topology.FromEnv("R", redistest.Getenv(env))
	if err != nil {
		t.Fatal(err)
	}
	return openConfig(t, cfg)
}

func openConfig(t *testing.T, cfg topology.Config) *Store {
	t.Helper()
	client, err := topology.Open(cfg, topology.WithoutRetries())
	if err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("t%d", time.Now().UnixNano())
	s := New(client, name, protocol.Source)
	t.Cleanup(func() {
		s.Close()
		_ = client.Close()
	})
	return s
}

// another returns a second store of the same record, with connections of its own.
func (s *Store) another(t *testing.T) *Store {
	t.Helper()
	client, err := topology.Open(s.masters.(*topology.Client).Config(), topology.WithoutRetries())
	if err != nil {
		t.Fatal(err)
	}
	o := &Store{masters: client, keys: s.keys, side: s.side}
	t.Cleanup(func() {
		o.Close()
		_ = client.Close()
	})
	return o
}

// everywhere runs a test on each kind of server that a side can be.
func everywhere(t *testing.T, f func(t *testing.T, s *Store)) {
	for name, env := range map[string]func(t *testing.T) map[string]string{
		"standalone": func(t *testing.T) map[string]string { return redistest.SharedStandalone(t).Env("R") },
		"sentinel":   func(t *testing.T) map[string]string { return redistest.SharedSentinel(t).Env("R") },
		"cluster":    func(t *testing.T) map[string]string { return redistest.SharedCluster(t).Env("R") },
	} {
		t.Run(name, func(t *testing.T) { f(t, open(t, env(t))) })
	}
	t.Run("embedded", func(t *testing.T) {
		server, err := embedded.Start(nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = server.Close() })
		f(t, openConfig(t, server.Config()))
	})
}

// record returns a first record of a side.
func record(t *testing.T, epoch uint64) protocol.Record {
	t.Helper()
	r, err := protocol.Begin(protocol.Record{}, "n", protocol.Source, "plan", []string{"w"},
		protocol.Stamp{Epoch: epoch, Writer: "test", Nonce: fmt.Sprint("nonce", epoch)})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (s *Store) mustChange(t *testing.T, old, next protocol.Record) Reading {
	t.Helper()
	r, err := s.Change(t.Context(), protocol.Change{Side: s.side, Old: old, New: next}, "", Event{Who: "test", What: "change"})
	if err != nil {
		t.Fatal(err)
	}
	if !r.Record.Same(next) {
		t.Fatalf("got %+v; want the change to be won", r.Record)
	}
	return r
}

func (s *Store) mustRead(t *testing.T, settle bool) Reading {
	t.Helper()
	r, err := s.Read(t.Context(), settle)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}
