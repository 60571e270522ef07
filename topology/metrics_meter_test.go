package topology

import (
	"context"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

func TestWindow(t *testing.T) {
	var w window
	if got := w.pace(0); got.perSecond != 0 || got.p99 >= 0 {
		t.Errorf("empty: got %+v; want nothing", got)
	}
	for i := range 1000 {
		w.add(time.Duration(i)*time.Millisecond, 1, time.Duration(i)*time.Millisecond)
	}
	got := w.pace(10 * time.Second)
	if got.perSecond != 100 || math.Abs(float64(got.p99)/float64(990*time.Millisecond)-1) > 0.04 {
		t.Errorf("got %+v; want 100 a second, p99 of 990ms", got)
	}
	w.add(30*time.Second, 5, -1)
	if got := w.pace(40 * time.Second); got.perSecond != 1005.0/40 {
		t.Errorf("got %+v; want both parts", got)
	}
	if got := w.pace(95 * time.Second); got.perSecond != 5.0/65 || got.p99 >= 0 {
		t.Errorf("got %+v; want the first part gone", got)
	}
	w.add(80*time.Second, 1, time.Hour) // takes the first part's place
	if got := w.pace(80 * time.Second); got.p99 < 55*time.Second {
		t.Errorf("got %+v; want what is longer than all to count for the longest", got)
	}
}

func TestSteps(t *testing.T) {
	last := -1
	for us := int64(0); us <= windowLongest; us += 1 + us/64 {
		i := step(us)
		if i < last || i >= windowSteps {
			t.Fatalf("%d µs: got step %d after %d of %d", us, i, last, windowSteps)
		}
		last = i
		if off := math.Abs(float64(length(i).Microseconds() - us)); off > 1+float64(us)/31 {
			t.Fatalf("%d µs: step %d stands for %v", us, i, length(i))
		}
	}
}

func TestClassify(t *testing.T) {
	for text, want := range map[string]opKind{
		"get k": reading, "mget a b": reading, "set k v": writing, "eval s 1 k": writing, "flushall": writing,
		"ping": neither, "hello 3": neither, "no.such": neither, "publish c m": neither, "blpop k 0": writing,
	} {
		if _, got := classify(words(text)); got != want {
			t.Errorf("%s: got %v; want %v", text, got, want)
		}
	}
}

func words(text string) (args []any) {
	var w string
	for _, r := range text + " " {
		if r != ' ' {
			w += string(r)
			continue
		}
		args = append(args, w)
		w = ""
	}
	return args
}

func TestNodesAreBounded(t *testing.T) {
	m := newMeter()
	for i := range 2 * metersAtMost {
		m.node(Master, fmt.Sprint(i))
	}
	if n := len(m.all()); n > metersAtMost+1 {
		t.Errorf("got %d nodes; want at most %d and the others", n, metersAtMost)
	}
}

// measured is an operation of which nothing but the measuring is left.
func measured(m *meter) func() {
	n := m.node(Master, "127.0.0.1:6379")
	run := meterHook{m, func() *nodeMeter { return n }}.ProcessHook(func(context.Context, redis.Cmder) error { return nil })
	ctx, cmd := context.Background(), redis.NewStringCmd(context.Background(), "get", "key")
	return func() { _ = run(ctx, cmd) }
}

func TestMeasuringAllocatesNothing(t *testing.T) {
	if n := testing.AllocsPerRun(1000, measured(newMeter())); n != 0 {
		t.Errorf("got %v allocations; want none", n)
	}
}

func BenchmarkMeasuring(b *testing.B) {
	op := measured(newMeter())
	b.ReportAllocs()
	for b.Loop() {
		op()
	}
}
