package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/transload/transload/internal/drill"
	"github.com/transload/transload/internal/redistest"
)

// TestDrillLocal is the drill as documented, on servers of its own. Whether an
// outage is short is not asked of a machine that runs tests: bench-failover is
// for that.
func TestDrillLocal(t *testing.T) {
	t.Parallel()
	needServer(t)
	began := time.Now()
	r := command(t, nil, "drill", "--local", "--json", "--budget", "30s")
	r.wantCode(t, codeDone)
	var rep drillReport
	if err := json.Unmarshal([]byte(r.out), &rep); err != nil {
		t.Fatalf("got %v for\n%s", err, r.out)
	}
	if rep.Verdict != drill.Pass || rep.Acknowledged == 0 || rep.Writes.OutageMS < 1000 {
		t.Errorf("got verdict %s, %d acknowledged, outage %.0f ms; want a pass with an outage that was seen", rep.Verdict, rep.Acknowledged, rep.Writes.OutageMS)
	}
	if took := time.Since(began); took > time.Minute {
		t.Errorf("took %v; want less than a minute", took)
	}
	var names []string
	for _, l := range rep.Timeline {
		names = append(names, l.Name)
	}
	for _, want := range []string{drill.PingLost, drill.ObjectivelyDown, drill.LeaderElected, drill.Promoted, drill.FirstWrite, drill.FirstRead} {
		if !strings.Contains(strings.Join(names, " "), want) {
			t.Errorf("got a timeline of %v; want %s in it", names, want)
		}
	}
}

// TestDrillPlanned moves the primary of servers that are there, over its budget:
// that is a failure of the drill, and no write is lost all the same.
func TestDrillPlanned(t *testing.T) {
	t.Parallel()
	set := redistest.Sentinel(t, redistest.Options{Hasty: true}) // sentinels ask for priorities each 500 ms, not 10 s
	env := set.Env("REDIS_TARGET")
	r := command(t, env, "drill", "--planned", "--target", "--budget", "30ms", "--promote", set.Nodes[2].Addr())
	r.wantCode(t, codeFailed)
	r.wantError(t, "the budget is 30")
	for _, want := range []string{"step: replicas in step", set.Nodes[2].Addr(), "drill: FAIL", "lost=0"} {
		if !strings.Contains(r.out, want) {
			t.Errorf("got\n%s\nwant %q in it", r.out, want)
		}
	}
	for _, n := range set.Nodes {
		keys := redistest.Do(t, n, "KEYS", "*drill:*")
		if list, _ := keys.([]any); len(list) > 0 {
			t.Errorf("%s: %d keys were left", n.Addr(), len(list))
		}
	}
	if got := redistest.Do(t, set.Nodes[2], "CONFIG", "GET", "replica-priority").([]any)[1]; got != "100" {
		t.Errorf("got replica-priority %v; want it put back to 100", got)
	}
}

// TestDrillInShadow drills a target that a coordinator keeps equal to the source: what
// the drill writes there is not on the source, and must not be taken for lost.
func TestDrillInShadow(t *testing.T) {
	t.Parallel()
	p := pairOf(t, redistest.Standalone(t, redistest.Options{}), redistest.Sentinel(t, redistest.Options{}))
	if err := p.client(t, p.source).Set(t.Context(), "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	p.shadow(t, "--no-members")
	r := p.run(t, "drill", "--planned", "--target", "--budget", "1m")
	r.wantCode(t, codeDone)
	if !strings.Contains(r.out, "drill: PASS") || !strings.Contains(r.out, "lost=0") {
		t.Errorf("got\n%s\nwant a pass, and nothing lost", r.out)
	}
	if got := p.keys(t, p.source); strings.Contains(got, "drill:") {
		t.Errorf("got on the source\n%s\nwant nothing of the drill", got)
	}
	redistest.Eventually(t, time.Minute, func() error {
		if r := p.run(t, "verify", "--no-members"); r.code != codeDone {
			return fmt.Errorf("after the drill: %s%s", r.out, r.err)
		}
		return nil
	})
}

func TestDrillRefusals(t *testing.T) {
	needServer(t)
	one := redistest.SharedStandalone(t)
	for name, tt := range map[string]struct {
		env  map[string]string
		args []string
		code int
		text string
	}{
		"nothing set":             {nil, []string{"--wait"}, codeUsage, "REDIS_SENTINELS"},
		"no target":               {one.Env("REDIS"), []string{"--wait", "--target"}, codeUsage, "REDIS_TARGET_SENTINELS"},
		"planned on one server":   {one.Env("REDIS"), []string{"--planned"}, codeRefused, "standalone"},
		"told as a cluster":       {map[string]string{"REDIS_CLUSTER_NODES": one.Addr()}, []string{"--planned"}, codeRefused, "mode"},
		"a server that is away":   {map[string]string{"REDIS_URL": "redis://127.0.0.1:1"}, []string{"--wait"}, codeBroke, "refused"},
		"nothing set, one server": {nil, []string{"--wait"}, codeUsage, "REDIS_URL"},
		"a rate below the budget": {one.Env("REDIS"), []string{"--wait", "--rate", "1"}, codeUsage, "--rate 3 or more"},
		"an empty address":        {one.Env("REDIS"), []string{"--planned", "--promote", ""}, codeUsage, "--promote"},
		"tuning that is no value": {map[string]string{"REDIS_RETRIES": "many"}, []string{"--local"}, codeUsage, "REDIS_RETRIES"},
	} {
		t.Run(name, func(t *testing.T) {
			r := command(t, tt.env, append([]string{"drill"}, tt.args...)...)
			r.wantCode(t, tt.code)
			r.wantError(t, tt.text)
		})
	}
}

// TestDrillRefusesBadPromoteBeforeTheFirstKey names no replica, and the primary.
func TestDrillRefusesBadPromoteBeforeTheFirstKey(t *testing.T) {
	set := redistest.Sentinel(t, redistest.Options{})
	for _, addr := range []string{"127.0.0.1:1", set.Nodes[0].Addr()} {
		r := command(t, set.Env("REDIS"), "drill", "--planned", "--promote", addr)
		r.wantCode(t, codeRefused)
		r.wantError(t, addr)
	}
	if stats := redistest.Do(t, set.Nodes[0], "INFO", "commandstats").(string); strings.Contains(stats, "cmdstat_set:") {
		t.Errorf("got\n%s\nwant that no key was ever written", stats)
	}
}

// TestDrillInterrupted leaves no key behind, and says that nothing has changed.
func TestDrillInterrupted(t *testing.T) {
	t.Parallel()
	s := redistest.Standalone(t, redistest.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(time.Second, cancel) // well before any fault; keys are there or not yet
	r := commandWith(ctx, s.Env("REDIS"), "", "drill", "--wait", "--json")
	r.wantCode(t, codeBroke)
	if !strings.Contains(r.err, "interrupted: nothing has changed") {
		t.Errorf("got errors:\n%s\nwant that it was interrupted, and that nothing has changed", r.err)
	}
	if keys, _ := redistest.Do(t, s, "KEYS", "*drill:*").([]any); len(keys) > 0 {
		t.Errorf("%d keys were left", len(keys))
	}
}

func needServer(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a redis-server: left out by -short")
	}
}
