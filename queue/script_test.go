package queue

import (
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/front"
)

// What we send is what asynq's own client sends: script, keys, arguments, message.
// A version of asynq for which that does not hold fails here, and in NewClient.
func TestScriptsAreAsynqs(t *testing.T) {
	found, err := scripts()
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	jobs := map[string]*entry{}
	for _, later := range []bool{false, true} {
		for _, unique := range []bool{false, true} {
			s := shape{later, unique}
			jobs[fmt.Sprintf("all there is, %+v", s)] = sample(s, now)
			least := sample(s, now)
			least.payload, least.attempts, least.deadline, least.retain = nil, 1, time.Time{}, 0
			jobs[fmt.Sprintf("the least, %+v", s)] = least
		}
	}
	empty, large, past, old := sample(shape{}, now), sample(shape{unique: true}, now), sample(shape{}, now), sample(shape{}, now)
	empty.payload = []byte{}
	large.payload, large.name, large.id, large.attempts = []byte(strings.Repeat("ä", 32<<10)), strings.Repeat("n", maxName), strings.Repeat("i", maxName), 1<<31
	past.at = now.Add(-time.Hour)
	old.deadline = time.Unix(-1, 0)
	jobs["empty"], jobs["large"], jobs["a past time"], jobs["a deadline before 1970"] = empty, large, past, old
	for name, e := range jobs {
		t.Run(name, func(t *testing.T) {
			x := &tape{UniversalClient: front.New(refuser{})}
			defer func() { _ = x.Close() }()
			must(t, x.record(e))
			e.compose(found, now)
			if !x.same(e.args) {
				t.Errorf("got\n%q; asynq sends\n%q", e.args, x.args)
			}
			if e.script.text != x.text || e.args[1] != redis.NewScript(x.text).Hash() {
				t.Errorf("got the script\n%s; asynq sends\n%s", e.script.text, x.text)
			}
			if got := e.command(t.Context()); got.Args()[0] != "evalsha" {
				t.Errorf("got %v; want the script's name", got)
			}
			e.whole = true
			if got := e.command(t.Context()); got.Args()[0] != "eval" || got.Args()[1] != x.text || e.args[0] != "evalsha" {
				t.Errorf("got %v; want the script whole, this once", got)
			}
		})
	}
}

// An asynq that gives its scripts other keys, other arguments or another message is
// told apart.
func TestAnotherAsynq(t *testing.T) {
	found, err := scripts()
	must(t, err)
	now := time.Now()
	x := &tape{UniversalClient: front.New(refuser{})}
	defer func() { _ = x.Close() }()
	must(t, x.record(sample(shape{true, true}, now)))
	e := sample(shape{true, true}, now)
	e.compose(found, now)
	for i := range e.args[2:] {
		was := x.args
		x.args = slices.Clone(was)
		switch v := x.args[i].(type) {
		case string:
			x.args[i] = v + "x"
		case []byte:
			x.args[i] = append(slices.Clone(v), 0)
		case int:
			x.args[i] = int64(v)
		case int64:
			x.args[i] = v * 1000
		default:
			t.Fatalf("%T", v)
		}
		if x.same(e.args) {
			t.Errorf("argument %d: %q is taken for %q", i, x.args[i], was[i])
		}
		x.args = was
	}
	x.args = append(x.args, "one more")
	if x.same(e.args) {
		t.Error("one more argument is not seen")
	}
}

// A program that is built with another asynq is told so, by producers and workers.
func TestKnownAsynq(t *testing.T) {
	for version, want := range map[string]error{"v0.26.0": nil, "v0.26.1": nil, "v0.25.1": errAsynq, "v0.27.0": errAsynq} {
		built := &debug.BuildInfo{Deps: []*debug.Module{{Path: "example.com/x", Version: "v1.0.0"}, {Path: asynqPath, Version: version}}}
		if err := known(built); !errors.Is(err, want) {
			t.Errorf("%s: got %v; want %v", version, err, want)
		}
	}
	if err := known(nil); err != nil {
		t.Errorf("nobody can tell: got %v; want nothing refused", err)
	}
}
