package topology

import (
	"context"
	"fmt"
	"testing"

	"github.com/redis/go-redis/v9"
)

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
	m := newMeter("")
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
	if n := testing.AllocsPerRun(1000, measured(newMeter(""))); n != 0 {
		t.Errorf("got %v allocations; want none", n)
	}
}

func BenchmarkMeasuring(b *testing.B) {
	op := measured(newMeter(""))
	b.ReportAllocs()
	for b.Loop() {
		op()
	}
}
