package embedded_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/transload/transload/topology"
	"github.com/transload/transload/topology/embedded"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestStart(t *testing.T) {
	var log bytes.Buffer
	s, err := embedded.Start(slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	c, err := topology.Open(s.Config())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()

	ctx := t.Context()
	if err := c.CheckMode(ctx); err != nil {
		t.Errorf("check mode: %v", err)
	}
	if err := c.Set(ctx, "k", "v", 30*time.Millisecond).Err(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(5 * time.Second); ; {
		err := c.Get(ctx, "k").Err()
		if errors.Is(err, redis.Nil) {
			break
		}
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("the key did not expire: %v", err)
		}
	}
	nodes, err := c.Nodes(ctx)
	if err != nil || len(nodes) != 1 || nodes[0].Addr != s.Addr() || nodes[0].Role != topology.Master {
		t.Errorf("got nodes %v, %v; want the server alone", nodes, err)
	}
	if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "level=WARN") {
		t.Errorf("got log %q; want one warning", got)
	}

	stranger := redis.NewClient(&redis.Options{Addr: s.Addr(), MaxRetries: -1})
	defer stranger.Close()
	if err := stranger.Get(ctx, "k").Err(); err == nil || errors.Is(err, redis.Nil) {
		t.Errorf("without the password: got %v; want a refusal", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if s.Addr() == "" {
		t.Error("no address after Close")
	}
}

func Example() {
	cfg, err := topology.FromEnv("REDIS", func(string) string { return "" }) // os.Getenv
	if errors.Is(err, topology.ErrDisabled) {
		s, err := embedded.Start(slog.New(slog.DiscardHandler))
		if err != nil {
			fmt.Println(err)
			return
		}
		defer s.Close()
		cfg = s.Config()
	}
	client, err := topology.Open(cfg)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	fmt.Println(client.Mode())
	// Output: standalone
}
