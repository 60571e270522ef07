package topology_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/topology"
)

func byPrefix(key string) string {
	prefix, _, _ := strings.Cut(key, ":")
	return prefix
}

func TestBreaker(t *testing.T) {
	server := redistest.Standalone(t, redistest.Options{})
	c := open(t, server.Env("REDIS"), []topology.Option{topology.WithBreaker("target", []string{"sess", "cache"}, byPrefix)})
	set := func(key string) error {
		ctx, end := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer end()
		return c.Set(ctx, key, "1", 0).Err()
	}
	redistest.Eventually(t, 10*time.Second, func() error { return set("sess:1") })
	// Replies are answers, whatever they say.
	for range 30 {
		if err := c.LPush(t.Context(), "sess:1", "x").Err(); !redis.HasErrorPrefix(err, "WRONGTYPE") {
			t.Fatalf("got %v", err)
		}
		c.Get(t.Context(), "sess:none")
	}
	if err := server.Freeze(); err != nil {
		t.Fatal(err)
	}
	defer server.Thaw()
	redistest.Eventually(t, 30*time.Second, func() error {
		if err := set("sess:1"); !errors.Is(err, topology.ErrBreakerOpen) {
			return err
		}
		return nil
	})
	e, ok := errors.AsType[*topology.BreakerError](eventuallyOpen(t, set))
	if !ok || e.Side != "target" || e.Workload != "sess" {
		t.Errorf("got %v; want a BreakerError of the target's sessions", e)
	}
	if _, err := c.Pipelined(t.Context(), func(p redis.Pipeliner) error { return nil }); err != nil {
		t.Errorf("an empty pipeline: %v", err)
	}
	for _, b := range c.Breakers() {
		if (b.State == "closed") != (b.Workload == "cache") {
			t.Errorf("got %+v", b)
		}
	}
	server.Thaw()
	began := time.Now()
	redistest.Eventually(t, 30*time.Second, func() error { return set("sess:1") })
	if took := time.Since(began); took > time.Second {
		t.Errorf("back after %v; want 0.2s, or 1s on a busy machine", took)
	} else {
		t.Logf("back after %v", took.Round(time.Millisecond))
	}
}

// eventuallyOpen returns the error of a command that was refused.
func eventuallyOpen(t *testing.T, set func(string) error) (err error) {
	t.Helper()
	redistest.Eventually(t, 30*time.Second, func() error {
		if err = set("sess:1"); !errors.Is(err, topology.ErrBreakerOpen) {
			return err
		}
		return nil
	})
	return err
}

func TestBreakerOption(t *testing.T) {
	_, err := topology.Open(topology.Config{Mode: topology.Standalone, Addrs: []string{"h:1"}}, topology.WithBreaker("", nil, nil))
	if !errors.Is(err, topology.ErrOption) {
		t.Errorf("got %v; want ErrOption", err)
	}
}
