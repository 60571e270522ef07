package deploy

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/cache"
	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/migrate"
	"github.com/transload/transload/migrate/coordinator"
	"github.com/transload/transload/pubsub"
	"github.com/transload/transload/ratelimit"
	"github.com/transload/transload/sessions"
	"github.com/transload/transload/topology"
)

// TestUsers holds users.acl to what each user is for, from below and from above: with
// these rights a whole migration onto the set works, and then the app's workloads do.
func TestUsers(t *testing.T) {
	t.Parallel()
	s := startSet(t)
	denied(t, s)
	migrates(t, s)
	probes(t, s)
}

// denied tries what users must not do.
func denied(t *testing.T, s *set) {
	t.Helper()
	for user, commands := range map[string][]string{
		"app":      {"FLUSHALL", "FLUSHDB", "KEYS *", "CONFIG GET maxmemory", "SHUTDOWN", "ACL LIST", "REPLICAOF NO ONE", "SET other:1 x", "GET transload:{x}:control", "PUBLISH other x"},
		"mover":    {"FLUSHALL", "CONFIG SET maxmemory 0", "SHUTDOWN", "ACL LIST", "REPLICAOF NO ONE"},
		"replica":  {"GET sess:{1}", "SET sess:{1} x", "CONFIG GET maxmemory", "FLUSHALL"},
		"metrics":  {"GET sess:{1}", "SET sess:{1} x", "CONFIG SET maxmemory 0", "FLUSHALL"},
		"sentinel": {"GET sess:{1}", "SET sess:{1} x", "FLUSHALL", "CONFIG GET masterauth"},
	} {
		c := redis.NewClient(s.options(user, s.nodes[0]))
		for _, line := range commands {
			if err := c.Do(t.Context(), fields(line)...).Err(); !redis.HasErrorPrefix(err, "NOPERM") {
				t.Errorf("%s: %s: got %v; want NOPERM", user, line, err)
			}
		}
		_ = c.Close() // else check names it, as somebody who writes past the migration
	}
	nobody := redis.NewClient(&redis.Options{Addr: s.nodes[0].addr, DisableIdentity: true, MaxRetries: -1, Protocol: 2})
	defer nobody.Close()
	if err := nobody.Ping(t.Context()).Err(); !redis.HasErrorPrefix(err, "NOAUTH") {
		t.Errorf("without a user: got %v; want NOAUTH", err)
	}
	operator := redis.NewClient(s.options("operator", s.nodes[0]))
	defer operator.Close()
	if err := operator.FlushAll(t.Context()).Err(); err != nil {
		t.Errorf("operator: FLUSHALL: %v; want it allowed, for it is what a corrupted set is emptied with", err)
	}
	for _, line := range []string{"SENTINEL FAILOVER " + master, "SENTINEL REMOVE " + master, "SENTINEL SET " + master + " quorum 1", "SHUTDOWN"} {
		if err := s.as("app", s.sentinels[0]).Do(t.Context(), fields(line)...).Err(); !redis.HasErrorPrefix(err, "NOPERM") {
			t.Errorf("app at a sentinel: %s: got %v; want NOPERM", line, err)
		}
	}
}

func fields(line string) (args []any) {
	for _, f := range strings.Fields(line) {
		args = append(args, f)
	}
	return args
}

// migrates moves a key from a standalone server to the set: the app as mover, the
// coordinator as operator.
func migrates(t *testing.T, s *set) {
	t.Helper()
	from := redistest.Standalone(t, redistest.Options{})
	source := config(t, from.Env("REDIS"))
	app, err := migrate.Open(t.Context(), migrate.Options{Source: source, Target: config(t, s.env("mover"))})
	if err != nil {
		t.Fatal(err)
	}
	defer app.Close()
	if err := app.Set(t.Context(), "sess:{moved}", "a", time.Hour).Err(); err != nil {
		t.Fatal(err)
	}
	equal := make(chan struct{})
	once := sync.OnceFunc(func() { close(equal) })
	var last atomic.Pointer[coordinator.Progress]
	// A busy machine is no reason to hold the move back here.
	o := coordinator.Options{Source: source, Target: config(t, s.env("operator")), Hold: 5 * time.Second,
		Limits: coordinator.Limits{P99: time.Minute, Lag: time.Minute, MirrorFails: 1000, ReadsDiffer: 1000},
		Progress: func(p coordinator.Progress) {
			last.Store(&p)
			if p.Equal {
				once()
			}
		}}
	c, err := coordinator.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	checked(t, c)
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := c.Shadow(ctx); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("shadow: %v", err)
		}
	})
	defer wg.Wait()
	defer stop()
	select {
	case <-equal:
	case <-time.After(within):
		t.Fatalf("the sides have not become equal: %+v", last.Load())
	}
	o.Progress = nil
	asks, err := coordinator.Open(o) // as in a second terminal
	if err != nil {
		t.Fatal(err)
	}
	defer asks.Close()
	if _, err := asks.Cutover(t.Context(), coordinator.CutoverRequest{To: []int{100}}); err != nil {
		t.Fatalf("cutover: %v", err)
	}
	redistest.Eventually(t, within, func() error { // it is refused until the app has obeyed the last record
		_, err := asks.Finish(t.Context(), coordinator.FinishRequest{MinSoak: -1})
		return err
	})
}

// checked holds that check finds nothing to say of the target, missing rights first of
// all. What members tell of themselves it may not have heard yet.
func checked(t *testing.T, c *coordinator.Coordinator) {
	t.Helper()
	redistest.Eventually(t, within, func() (err error) {
		r, err := c.Check(t.Context())
		for _, l := range r.Lines {
			if l.Verdict == coordinator.Refused || l.Side == "target" && l.Verdict != coordinator.OK {
				err = errors.Join(err, fmt.Errorf("check of the %s: %s: %s, %s", l.Side, l.Check, l.Figure, l.Next))
			}
		}
		return err
	})
}

// probes runs the workloads as the app.
func probes(t *testing.T, s *set) {
	t.Helper()
	client := s.open(s.env("app"))
	if got, err := client.Get(t.Context(), "sess:{moved}").Result(); err != nil || got != "a" {
		t.Errorf("got %q, %v; want the key that was moved", got, err)
	}
	limiter, err := ratelimit.New(client, []ratelimit.Policy{{Name: "probe", Limit: 10, Per: time.Minute}})
	if err != nil {
		t.Fatal(err)
	}
	defer limiter.Close(t.Context())
	manager, err := sessions.New(client, sessions.Options{Keys: [][]byte{make([]byte, 32)}, Budget: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	hub, err := pubsub.New(client, []pubsub.Topic{{Delivery: pubsub.Latest}}, pubsub.Options{Budget: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = hub.Run(ctx) })
	defer wg.Wait()
	defer stop()
	store, err := cache.Open(client, cache.Options{Budget: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	values, err := cache.New(store, "probe", cache.Config[int]{})
	if err != nil {
		t.Fatal(err)
	}
	if n, _, err := values.Get(t.Context(), "1", func(context.Context) (int, error) { return 7, nil }); err != nil || n != 7 {
		t.Errorf("cache as the user app: got %d, %v; want 7", n, err)
	}
	for name, probe := range map[string]func(context.Context) error{"ratelimit": limiter.Probe, "sessions": manager.Probe,
		"pubsub": hub.Probe, "cache": store.Probe, "cache's tracking": tracked(store)} {
		redistest.Eventually(t, within, func() error {
			if err := probe(t.Context()); err != nil {
				return fmt.Errorf("%s as the user app: %w", name, err)
			}
			return nil
		})
	}
}

// tracked asks whether the servers tell a store of changes.
func tracked(s *cache.Store) func(context.Context) error {
	const name = "transload_cache_tracked"
	const want = "# HELP " + name + " 1 while servers tell of changes, so that memory needs not ask.\n# TYPE " + name + " gauge\n" + name + " 1\n"
	return func(context.Context) error {
		return testutil.CollectAndCompare(s.Metrics(), strings.NewReader(want), name)
	}
}

func config(t *testing.T, env map[string]string) topology.Config {
	t.Helper()
	cfg, err := topology.FromEnv("REDIS", redistest.Getenv(env))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// TestPasswords changes all passwords as docs/security.md says: nobody is promoted by
// it, and in the end only the new ones hold.
func TestPasswords(t *testing.T) {
	long(t)
	t.Parallel()
	s := startSet(t)
	run(t, nil, "./secrets.sh", filepath.Join(s.home, "new"))
	env := []string{"SERVERS=" + strings.Join(addrs(s.nodes), " "), "SENTINELS=" + strings.Join(addrs(s.sentinels), " ")}
	blocks := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(page(t, "../docs/security.md"), -1)
	if len(blocks) != 2 {
		t.Fatalf("docs/security.md has %d blocks of commands; want two", len(blocks))
	}
	out, err := with(t, env, "-ec", "cd "+s.home+"\n"+blocks[0][1]+blocks[1][1])
	if err != nil || strings.Contains(out, "ERR") || strings.Contains(out, "NOPERM") || strings.Contains(out, "WRONGPASS") {
		t.Fatalf("%v\n%s", err, out)
	}
	old, operator := s.env("app"), s.secret("operator")
	if err := errors.Join(os.RemoveAll(s.secrets()), os.Rename(filepath.Join(s.home, "new"), s.secrets()),
		os.WriteFile(filepath.Join(s.secrets(), "operator"), []byte(operator), 0o600)); err != nil {
		t.Fatal(err)
	}
	again := func(p *process) {
		p.kill(t)
		p.start(t)
		s.primary()
	}
	for _, p := range append(slices.Clone(s.sentinels), s.nodes[1:]...) {
		again(p)
	}
	s.whole(0)
	for _, p := range s.sentinels {
		if f := s.sentinelSays(p); f["config-epoch"] != "0" {
			t.Errorf("%s says epoch %s; want that nobody was promoted", p.name, f["config-epoch"])
		}
	}
	again(s.nodes[0])
	redistest.Eventually(t, within, func() error {
		if err := s.open(old).Ping(t.Context()).Err(); err == nil || !strings.Contains(err.Error(), "WRONGPASS") {
			return fmt.Errorf("the old password: got %v; want WRONGPASS", err)
		}
		return s.open(s.env("app")).Set(t.Context(), "sess:{1}", "a", 0).Err()
	})
}
