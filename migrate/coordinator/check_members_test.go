package coordinator

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/migrate"
)

// member opens one member, and waits until it is on both rolls.
func member(t *testing.T, s sides, change ...func(*migrate.Options)) *migrate.Client {
	t.Helper()
	o := migrate.Options{Source: s.source, Target: s.target}
	for _, f := range change {
		f(&o)
	}
	c, err := migrate.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := c.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCheckMembers(t *testing.T) {
	t.Parallel() // it mostly waits for beats
	_, _, s := twoServers(t, nil, nil)
	c := coordinate(t, s)
	checked(t, c).wants(t, "members", "", Refused, "no member")
	checked(t, coordinate(t, s, alone)).wants(t, "members", "", Warn, "no member")
	member(t, s, func(o *migrate.Options) { o.Version = "1" })
	eventually(t, func() bool { return len(c.members(t)) == 1 })
	r := checked(t, c)
	r.wants(t, "members", "", OK, "1, all")
	r.wants(t, "census", "", Warn)
	// One that died without a goodbye.
	ghost := protocol.Entry{ID: "ghost", Beat: 3, Plan: migrate.Plan(migrate.DefaultWorkloads())}
	for _, side := range protocol.Sides {
		if _, err := c.sides[side].store.Refresh(t.Context(), ghost, false, false); err != nil {
			t.Fatal(err)
		}
	}
	checked(t, c).wants(t, "members", "", Warn, "nothing is heard of ghost")
	for _, side := range protocol.Sides {
		if err := c.sides[side].store.Strike(t.Context(), "ghost"); err != nil {
			t.Fatal(err)
		}
	}
	member(t, s, func(o *migrate.Options) { o.Version = "2" })
	eventually(t, func() bool { return len(c.members(t)) == 2 })
	r = checked(t, c)
	r.wants(t, "versions of the app", "", Warn, "1, 2")
	r.wants(t, "members", "", OK)
	member(t, s, func(o *migrate.Options) { o.Workloads = []migrate.Workload{{Name: "own", Prefixes: []string{"own:"}}} })
	eventually(t, func() bool { return len(c.members(t)) == 3 })
	checked(t, c).wants(t, "members", "", Refused, "different workloads")
}

func TestCheckReachFromMembers(t *testing.T) {
	t.Parallel() // it mostly waits for beats
	_, b, s := twoServers(t, nil, nil)
	theirs := s
	p := redistest.Proxy(t, b)
	theirs.target.Addrs = []string{p.Addr()}
	member(t, theirs)
	c := coordinate(t, s)
	eventually(t, func() bool { return len(c.members(t)) == 1 })
	checked(t, c).wants(t, "reach from members", "target", OK)
	p.Cut()
	eventually(t, func() bool {
		roll, err := c.sides[protocol.Source].store.Roll(t.Context())
		if err != nil || len(roll) != 1 {
			return false
		}
		about, ok := aboutOf(roll[0])
		return ok && !about.Reach[1].OK
	})
	r := checked(t, c)
	r.wants(t, "reach from members", "target", Refused, "1 of 1 do not reach it")
	r.wants(t, "reach from members", "source", OK)
	r.wants(t, "reach", "target", OK)
}

// TestCheckReachOfWhoKnowsOneSide: a member with another target is on no roll of
// ours there.
func TestCheckReachOfWhoKnowsOneSide(t *testing.T) {
	t.Parallel() // it mostly waits for beats
	_, _, s := twoServers(t, nil, nil)
	_, _, other := twoServers(t, nil, nil)
	member(t, sides{s.source, other.target})
	c := coordinate(t, s)
	eventually(t, func() bool {
		roll, err := c.sides[protocol.Source].store.Roll(t.Context())
		return err == nil && len(roll) == 1 && len(roll[0].About) > 0
	})
	checked(t, c).wants(t, "reach from members", "target", Refused, "not on its roll")
}

// TestCheckCensus has an app do everything that a check minds.
func TestCheckCensus(t *testing.T) {
	t.Parallel() // it mostly waits for beats
	_, _, s := twoServers(t, nil, nil)
	app := member(t, s)
	ctx := t.Context()
	for _, err := range []error{
		app.MSet(ctx, "sess:1", "a", "sess:2", "b").Err(),
		app.Eval(ctx, "return redis.call('GET', KEYS[1])", []string{"rl:1"}).Err(),
		app.Eval(ctx, "return 1", nil).Err(),
		app.BLPop(ctx, 10*time.Millisecond, "asynq:q").Err(),
		app.Keys(ctx, "*").Err(),
		app.FlushDB(ctx).Err(),
		app.Do(ctx, "select", 3).Err(),
		app.Do(ctx, "hexpire", "h", 5, "fields", 1, "f").Err(),
		app.FCall(ctx, "f", []string{"x"}).Err(),
	} {
		t.Log(err) // some must fail
	}
	c := coordinate(t, s)
	eventually(t, func() bool {
		census, err := c.sides[protocol.Source].store.Census(ctx)
		for _, text := range census {
			return err == nil && strings.Contains(text, `"fcall"`) && strings.Contains(text, "select")
		}
		return false
	})
	r := checked(t, c)
	r.wants(t, "cross-slot commands", "", OK, "mset")
	r.wants(t, "steps between 0 and 100 %", "", Warn, "sessions: mset 1 times")
	r.wants(t, "scripts", "", Warn, "declare no key")
	r.wants(t, "refused calls", "", Warn, "select 1 times")
	r.wants(t, "dangerous commands", "", Warn, "FLUSHDB", "KEYS")
	r.wants(t, "blocking commands", "", OK, "blpop")
	r.wants(t, "the app's commands", "target", Refused, "hexpire")
	redistest.SharedCluster(t)
	s.target = config(t, redistest.SharedCluster(t))
	toCluster := checked(t, coordinate(t, s))
	toCluster.wants(t, "cross-slot commands", "", Refused, "sessions")
	toCluster.wants(t, "scripts", "", Refused)
}

// TestCheckCensusIsOld judges a census that has seen enough, and a script to a
// cluster.
func TestCheckCensusIsOld(t *testing.T) {
	now := time.Now()
	for name, tt := range map[string]struct {
		since time.Time
		want  Verdict
	}{"new": {now.Add(-time.Minute), Warn}, "old": {now.Add(-25 * time.Hour), OK}} {
		t.Run(name, func(t *testing.T) {
			_, _, s := twoServers(t, nil, nil)
			c := coordinate(t, s, alone)
			line := fmt.Sprintf(`{"since":%q,"commands":{"get":5},"scripts":{"sessions":2}}`, tt.since.UTC().Format(time.RFC3339))
			if err := c.sides[protocol.Source].store.TellCensus(t.Context(), "m", []byte(line)); err != nil {
				t.Fatal(err)
			}
			r := checked(t, c)
			r.wants(t, "census", "", tt.want, "5 commands")
			r.wants(t, "scripts", "", OK, "2 calls")
			s.target = config(t, redistest.SharedCluster(t))
			checked(t, coordinate(t, s, alone)).wants(t, "scripts", "", Warn, "2 calls")
		})
	}
}

// TestGatesReadTheNewerLine: what a member told last counts, on whichever side.
func TestGatesReadTheNewerLine(t *testing.T) {
	_, _, s := twoServers(t, nil, nil)
	c := coordinate(t, s)
	for beat, side := range []protocol.Side{protocol.Target, protocol.Source} {
		e := protocol.Entry{ID: "m", Beat: uint64(beat + 1), About: fmt.Appendf(nil, `{"version":"%d"}`, beat+1)}
		if _, err := c.sides[side].store.Refresh(t.Context(), e, false, false); err != nil {
			t.Fatal(err)
		}
	}
	b, err := c.look(t.Context(), nil, protocol.Source, nil, Care{}.fill(c.opts))
	if err != nil || b.about["m"].Version != "2" {
		t.Errorf("got %q, %v; want what it told last", b.about["m"].Version, err)
	}
}
