package coordinator

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/redisproc"
	"github.com/transload/transload/internal/redistest"
)

func TestCheckRights(t *testing.T) {
	_, b, s := twoServers(t, nil, nil)
	s.target.Username, s.target.Password = "app", "pw"
	redistest.Do(t, b, "FUNCTION", "LOAD", "#!lua name=l\nredis.register_function('f', function() return 1 end)")
	for _, tt := range []struct {
		name, rules, check string
		want               Verdict
		words              string
	}{
		{"all", "", "commands", OK, "(app)"},
		{"no records", "-xadd", "records", Refused, "xadd"},
		{"no scripts", "-eval -evalsha", "records", Refused, "eval, evalsha"},
		{"no copying", "-zadd -restore", "copying", Refused, "zadd"},
		{"no payloads", "-restore", "payloads", Warn, "restore"},
		{"no feed", "-client|tracking", "change feed", Warn, "client tracking"},
		{"no fence", "-client|kill", "fence", Warn, "client kill"},
		{"no listing", "-client|list", "fence", Warn, "client list"},
		{"no wait", "-wait", "replicas", Warn, "wait"},
		{"no unblock", "-client|unblock", "blocking", Warn, "client unblock"},
		{"no config", "-config", "questions", Warn, "config get"},
		{"no saves", "-bgsave", "backup", Warn, "bgsave"},
		{"some keys", "resetkeys ~transload:* ~sess:*", "rights on keys", Refused, `"asynq:"`},
		{"no key of ours", "resetkeys ~sess:*", "records", Refused, "hset"},
		{"no channel", "resetchannels", "records", Refused, "publish, subscribe"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			redistest.Do(t, b, "ACL", "DELUSER", "app")
			restrict(t, b, strings.Fields(tt.rules)...)
			r := checked(t, coordinate(t, s, alone))
			r.wants(t, tt.check, "target", tt.want, tt.words)
			r.wants(t, "commands", "source", OK, "(default)")
			if l := r.line(tt.check, "target"); tt.want != OK && !strings.Contains(l.Next, "ACL SETUSER app") {
				t.Errorf("got %q; want what the user lacks", l.Next)
			}
		})
	}
}

// TestCheckReadOnlyUser: who may not even begin a transaction cannot be asked for
// more, and is refused with the rule that helps, by check and by shadow alike.
func TestCheckReadOnlyUser(t *testing.T) {
	_, b, s := twoServers(t, nil, nil)
	s.target.Username, s.target.Password = "ro", "pw"
	redistest.Do(t, b, "ACL", "SETUSER", "ro", "on", ">pw", "~*", "&*", "+@read", "+ping", "+hello", "+client|setname")
	c := coordinate(t, s, alone)
	r := checked(t, c)
	r.wants(t, "commands", "target", Refused, "user ro may not run", "evalsha", "multi")
	if err := c.Shadow(t.Context()); !isRefusal(err, "commands of the target") || !strings.Contains(err.Error(), r.line("commands", "target").Figure) {
		t.Errorf("got %v; want the words of check", err)
	}
	_, rule, _ := strings.Cut(r.line("commands", "target").Next, "ACL SETUSER ro ")
	rule, _, _ = strings.Cut(rule, ",")
	redistest.Do(t, b, append([]string{"ACL", "SETUSER", "ro"}, strings.Fields(rule)...)...)
	r = checked(t, coordinate(t, s, alone))
	r.wants(t, "commands", "target", OK, "(ro)")
	redistest.Do(t, b, "ACL", "SETUSER", "ro", "-discard")
	checked(t, coordinate(t, s, alone)).wants(t, "commands", "target", Refused, "discard")
}

// TestCheckUnknown takes away the right to ask: what is not told is a warning
// that says how to find it out.
func TestCheckUnknown(t *testing.T) {
	_, b, s := twoServers(t, nil, nil)
	s.target.Username, s.target.Password = "app", "pw"
	restrict(t, b, "-config", "-client|list", "-memory", "-time")
	r := checked(t, coordinate(t, s, alone))
	for _, check := range []string{"min-replicas-to-write", "other clients", "clocks"} {
		r.wants(t, check, "target", Warn, "unknown: ")
	}
	redistest.Do(t, b, "ACL", "SETUSER", "app", "+@all", "-info", "-acl", "-multi")
	r = checked(t, coordinate(t, s, alone))
	r.wants(t, "mode", "target", Warn, "unknown: ")
	r.wants(t, "server", "target", Warn, "unknown: ")
	s.source, s.target = s.target, s.source
	redistest.Do(t, b, "ACL", "SETUSER", "app", "+@all", "-memory", "-function", "-config")
	r = checked(t, coordinate(t, s, alone))
	if n := redistest.Do(t, b, "DBSIZE"); n != int64(0) {
		t.Fatalf("got %v keys; want a check to write none, also where MULTI is refused", n)
	}
	r.wants(t, "big keys", "source", OK) // there are none
	r.wants(t, "functions", "", Warn, "unknown: ")
	redistest.Do(t, b, "SET", "x", "y")
	redistest.Do(t, b, "CONFIG", "SET", "appendonly", "no")
	r = checked(t, coordinate(t, s, alone))
	r.wants(t, "big keys", "source", Warn, "unknown: ")
	r.wants(t, "persistence", "source", Warn, "unknown: ")
}

// TestNeedsAreComplete takes an app through a migration, and then asks both
// servers what they were sent.
func TestNeedsAreComplete(t *testing.T) {
	t.Parallel()
	a, b, s := twoServers(t, nil, nil)
	seed(t, s.source, 20)
	src := client(t, s.source)
	large := make([]redis.Z, 20_000)
	for i := range large {
		large[i] = redis.Z{Score: float64(i), Member: i}
	}
	for _, err := range []error{
		src.ZAdd(t.Context(), "large:z", large...).Err(),
		src.SAdd(t.Context(), "s", "a", "b", "c").Err(),
		src.Set(t.Context(), "large:s", strings.Repeat("x", 1<<20), time.Hour).Err(),
		src.XAdd(t.Context(), &redis.XAddArgs{Stream: "x", Values: []string{"f", "v"}}).Err(),
		src.XGroupCreate(t.Context(), "x", "g", "0").Err(),
		src.XReadGroup(t.Context(), &redis.XReadGroupArgs{Group: "g", Consumer: "c", Streams: []string{"x", ">"}}).Err(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, srv := range []*redisproc.Server{a, b} {
		redistest.Do(t, srv, "CONFIG", "RESETSTAT")
	}
	startApp(t, s, 1, 0)
	if err := goDone(t, coordinate(t, s)); err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{"ping": true, "hello": true, "auth": true, "config|resetstat": true, "acl|whoami": true, "client|setname": true, "client|setinfo": true,
		"eval_ro": true, "evalsha_ro": true, "pexpiretime": true, "xinfo|help": true} // of the last line something older takes the place
	for _, n := range needs {
		for name := range strings.FieldsSeq(n.commands) {
			known[name] = true
		}
	}
	for _, srv := range []*redisproc.Server{a, b} {
		for name := range infoMap(fmt.Sprint(redistest.Do(t, srv, "INFO", "commandstats"))) {
			if cmd, ok := strings.CutPrefix(name, "cmdstat_"); ok && !known[cmd] {
				t.Errorf("%s was sent, and is in no need", cmd)
			}
		}
	}
}

// TestTrialsAreComplete: a command that a need names must have the arguments to
// be queued.
func TestTrialsAreComplete(t *testing.T) {
	conn := redistest.Conn(t, redistest.SharedStandalone(t))
	do := func(args ...string) any {
		v, err := conn.Do(t.Context(), args...)
		if err != nil {
			t.Errorf("%v: %v", args, err)
		}
		return v
	}
	do("MULTI")
	for _, n := range needs {
		for name := range strings.FieldsSeq(n.commands) {
			var args []string
			for _, a := range trial(name, "k", "c") {
				args = append(args, fmt.Sprint(a))
			}
			if got := do(args...); got != "QUEUED" {
				t.Errorf("%v: got %v; want it queued", args, got)
			}
		}
	}
	do("DISCARD")
}
