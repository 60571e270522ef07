package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/migrate"
	"github.com/transload/transload/migrate/coordinator"
	"github.com/transload/transload/topology"
	"github.com/transload/transload/topology/embedded"
)

// A pair is two Redis, and the variables that lead to them.
type pair struct {
	env            map[string]string
	source, target topology.Config
}

// embeddedPair starts two servers inside the process, which end with the test.
func embeddedPair(t *testing.T) pair {
	t.Helper()
	p := pair{env: map[string]string{}}
	for prefix, cfg := range map[string]*topology.Config{"REDIS": &p.source, "REDIS_TARGET": &p.target} {
		s, err := embedded.Start(nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		*cfg = s.Config()
		p.env[prefix+"_URL"], p.env[prefix+"_PASSWORD"] = "redis://"+s.Addr(), string(cfg.Password)
		p.env[prefix+"_READ_TIMEOUT"] = "5s"
		cfg.ReadTimeout = 5 * time.Second
	}
	return p
}

// realPair starts two redis-servers, which end with the test.
func realPair(t *testing.T) pair {
	t.Helper()
	return pairOf(t, redistest.Standalone(t, redistest.Options{}), redistest.Standalone(t, redistest.Options{}))
}

func (p pair) run(t *testing.T, args ...string) result {
	t.Helper()
	return command(t, p.env, args...)
}

// client opens a plain client of one side.
func (p pair) client(t *testing.T, cfg topology.Config) *topology.Client {
	t.Helper()
	c, err := topology.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// member starts one process of an app.
func (p pair) member(t *testing.T, name string) *migrate.Client {
	t.Helper()
	c, err := migrate.Open(t.Context(), migrate.Options{Name: name, Source: p.source, Target: p.target, Version: "v1"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	return c
}

// shadow runs migrate shadow as in a terminal of its own, and waits until both
// sides are equal. What it returns presses Ctrl-C and gives the result.
func (p pair) shadow(t *testing.T, args ...string) (stop func() result) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var r result
	var wg sync.WaitGroup
	wg.Go(func() { r = commandWith(ctx, p.env, "", append([]string{"shadow"}, args...)...) })
	stop = sync.OnceValue(func() result {
		cancel()
		wg.Wait()
		return r
	})
	t.Cleanup(func() { stop() })
	redistest.Eventually(t, time.Minute, func() error {
		st, err := p.status(t, args...)
		if err == nil && (!st.Sync.Done || st.Coordinator == nil) {
			err = fmt.Errorf("%s", statusLine(st))
		}
		return err
	})
	return stop
}

// status asks for the status as a program would; of args, --name is heeded.
func (p pair) status(t *testing.T, args ...string) (st coordinator.Status, err error) {
	t.Helper()
	ask := []string{"status", "--json"}
	if i := slices.Index(args, "--name"); i >= 0 {
		ask = append(ask, args[i:i+2]...)
	}
	r := p.run(t, ask...)
	if r.code != codeDone {
		return st, fmt.Errorf("code %d: %s", r.code, r.err)
	}
	return st, json.Unmarshal([]byte(r.out), &st)
}

// keys tells what a side holds, less the locks and marks that a look may leave.
func (p pair) keys(t *testing.T, cfg topology.Config) string {
	t.Helper()
	c := p.client(t, cfg)
	var out []string
	err := c.EachMaster(t.Context(), func(ctx context.Context, _ string, node *redis.Client) error {
		keys, err := node.Keys(ctx, "*").Result()
		for _, key := range keys {
			if key == "transload:{probe}" || strings.HasSuffix(key, "}:identity") || strings.HasSuffix(key, "}:roll") || strings.HasSuffix(key, "}:census") {
				continue
			}
			kind := node.Type(ctx, key).Val()
			value := ""
			if kind == "string" {
				value = node.Get(ctx, key).Val()
			}
			out = append(out, fmt.Sprintf("%s %s %s", key, kind, value))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}
