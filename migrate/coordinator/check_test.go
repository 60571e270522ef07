package coordinator

import (
	"fmt"
	"strings"
	"testing"

	"github.com/transload/transload/internal/redisproc"
	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/topology"
)

// keepsData has a server keep its data, so that it gives no cause for a warning.
var keepsData = []string{"--appendonly", "yes"}

// checked runs Check and logs its lines.
func checked(t *testing.T, c *Coordinator) CheckReport {
	t.Helper()
	r, err := c.Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range r.Lines {
		t.Logf("%-6s %-7s %-24s %s | %s", l.Verdict, l.Side, l.Check, l.Figure, l.Next)
	}
	return r
}

// line returns the line of a check on a side.
func (r CheckReport) line(check, side string) CheckLine {
	for _, l := range r.Lines {
		if l.Check == check && l.Side == side {
			return l
		}
	}
	return CheckLine{}
}

// wants fails the test unless the check came to a verdict, with those words in
// its figure and, unless it is ok, a next step.
func (r CheckReport) wants(t *testing.T, check, side string, v Verdict, words ...string) {
	t.Helper()
	l := r.line(check, side)
	if l.Verdict != v || (v == OK) != (l.Next == "") {
		t.Errorf("%s %s: got %+v; want %s", check, side, l, v)
	}
	for _, w := range words {
		if !strings.Contains(l.Figure, w) {
			t.Errorf("%s %s: got %q; want %q in it", check, side, l.Figure, w)
		}
	}
}

// twoServers starts two standalone servers with further arguments.
func twoServers(t *testing.T, source, target []string) (a, b *redisproc.Server, s sides) {
	t.Helper()
	a = redistest.Standalone(t, redistest.Options{Args: append(keepsData[:2:2], source...)})
	b = redistest.Standalone(t, redistest.Options{Args: append(keepsData[:2:2], target...)})
	return a, b, sides{config(t, a), config(t, b)}
}

// alone lets a check, or a migration, go without members.
func alone(o *Options) { o.NoMembers = true }

// TestCheckFindsNothing on two sides that are as they should be, with an app.
func TestCheckFindsNothing(t *testing.T) {
	t.Parallel() // it mostly waits for beats
	_, _, s := twoServers(t, nil, nil)
	startApp(t, s, 2, 20)
	c := coordinate(t, s)
	eventually(t, func() bool { return len(c.members(t)) == 2 })
	r := checked(t, c)
	if r.Verdict == Refused || r.Refusal() != nil {
		t.Errorf("got %v, %v; want no refusal", r.Verdict, r.Refusal())
	}
	for _, l := range r.Lines {
		if l.Verdict != OK && l.Check != "census" {
			t.Errorf("got %+v; want ok", l)
		}
	}
	for _, side := range []string{"source", "target"} {
		for _, check := range []string{"reach", "mode", "commands", "persistence", "restart", "min-replicas-to-write", "eviction", "connections",
			"databases", "other clients", "reach from members"} {
			r.wants(t, check, side, OK)
		}
	}
	for _, check := range []string{"two sides", "control record", "round trip", "clocks", "versions", "memory", "functions", "modules", "hash fields",
		"users", "members", "versions of the app", "cross-slot commands", "steps between 0 and 100 %", "scripts", "refused calls", "dangerous commands", "blocking commands"} {
		r.wants(t, check, "", OK)
	}
	r.wants(t, "foreign keys", "target", OK)
	r.wants(t, "big keys", "source", OK)
	r.wants(t, "the app's commands", "target", OK)
	r.wants(t, "members", "", OK, "2, all of the same workloads")
}

func (c *Coordinator) members(t *testing.T) []string {
	t.Helper()
	all, err := bothRolls(t.Context(), c.sides)
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]int{}
	for _, e := range all {
		if about, ok := aboutOf(e); ok && about.Reach[0].OK && about.Reach[1].OK {
			told[e.ID]++
		}
	}
	var both []string
	for id, n := range told {
		if n == 2 {
			both = append(both, id)
		}
	}
	return both
}

// TestCheckChangesNothing compares what both sides hold before and after, and
// what they were asked to do.
func TestCheckChangesNothing(t *testing.T) {
	a, b, s := twoServers(t, nil, nil)
	seed(t, s.source, 50)
	c := coordinate(t, s, alone)
	state := func() string {
		text := ""
		for _, srv := range []*redisproc.Server{a, b} {
			info := infoMap(fmt.Sprint(redistest.Do(t, srv, "INFO", "everything")))
			text += fmt.Sprintln(redistest.Do(t, srv, "DEBUG", "DIGEST"), redistest.Do(t, srv, "DBSIZE"), redistest.Do(t, srv, "LASTSAVE"),
				redistest.Do(t, srv, "CONFIG", "GET", "*"), info["master_repl_offset"], info["rdb_changes_since_last_save"], info["number_of_cached_scripts"])
		}
		return text
	}
	before := state()
	checked(t, c)
	if after := state(); after != before {
		t.Errorf("got\n%s\nwant\n%s", after, before)
	}
}

func TestCheckEmbedded(t *testing.T) {
	s := sides{embeddedConfig(t), embeddedConfig(t)}
	c := coordinate(t, s, alone)
	r := checked(t, c)
	if r.Verdict != Warn {
		t.Errorf("got %v; want warnings only", r.Verdict)
	}
	r.wants(t, "server", "source", Warn, "unknown")
	r.wants(t, "change feed", "target", Warn, "client tracking")
	r.wants(t, "fence", "target", Warn, "client kill")
	r.wants(t, "two sides", "", OK, "counters differ")
	for _, cfg := range []topology.Config{s.source, s.target} {
		rdb := client(t, cfg)
		eventually(t, func() bool { // miniredis takes any payload for a key, here for one that has expired
			return rdb.DBSize(t.Context()).Val() == 0
		})
	}
	r = checked(t, coordinate(t, sides{s.source, s.source}, alone))
	r.wants(t, "two sides", "", Refused, "same address")
}
