package topology

import (
	"fmt"
	"testing"

	"github.com/transload/transload/internal/command"
	"github.com/transload/transload/internal/redistest"
)

// TestNameless uses the key with the empty name on a cluster, without retries:
// each call must find its master by itself.
func TestNameless(t *testing.T) {
	t.Parallel()
	if command.Slot(inSlotZero) != 0 {
		t.Fatalf("%q hashes to slot %d", inSlotZero, command.Slot(inSlotZero))
	}
	cfg, err := FromEnv("REDIS", redistest.Getenv(redistest.Cluster(t, redistest.Options{}).Env("REDIS")))
	if err != nil {
		t.Fatal(err)
	}
	c, err := Open(cfg, WithoutRetries())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for i := range 30 { // at random two of three would fail
		if err := c.Set(t.Context(), "", i, 0).Err(); err != nil {
			t.Fatal(err)
		}
		p := c.Pipeline()
		before := p.Set(t.Context(), fmt.Sprint("nameless:", i), "", 0)
		value, size := p.Get(t.Context(), ""), p.MemoryUsage(t.Context(), "")
		script := p.Do(t.Context(), "EVAL", "return redis.call('GET', KEYS[1])", 1, "")
		after := p.Get(t.Context(), fmt.Sprint("nameless:", i))
		if _, err := p.Exec(t.Context()); err != nil {
			t.Fatal(err)
		}
		if value.Val() != fmt.Sprint(i) || size.Val() == 0 || script.Val() != fmt.Sprint(i) || before.Err() != nil || after.Err() != nil {
			t.Fatalf("got %v, %v, %v, %v, %v; want %d", value, size, script, before, after, i)
		}
		if n, err := c.Echo(t.Context(), "").Result(); n != "" || err != nil {
			t.Fatalf("got %q, %v", n, err)
		}
	}
}
