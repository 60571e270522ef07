package keysync

import (
	"testing"

	"github.com/redis/go-redis/v9"
)

// TestCapabilitiesOfAFullServer asks a server what it can do while it has no
// memory: its refusals are not taken for what it lacks.
func TestCapabilitiesOfAFullServer(t *testing.T) {
	t.Parallel()
	s, c := realSide(t, "--maxmemory", "1")
	if caps, err := s.Capabilities(t.Context()); !redis.IsOOMError(err) {
		t.Fatalf("while it is full: got %+v, %v; want OOM", caps, err)
	}
	do(t, c, "config", "set", "maxmemory", "0")
	want := Capabilities{Dump: true, Restore: true, ExpireTime: true, ReadOnlyScripts: true}
	if caps, err := s.Capabilities(t.Context()); err != nil || caps != want {
		t.Errorf("with room: got %+v, %v; want %+v", caps, err, want)
	}
}

// TestCapabilitiesByRights takes commands away from the user: what is left is
// found by trial.
func TestCapabilitiesByRights(t *testing.T) {
	t.Parallel()
	all := Capabilities{Dump: true, Restore: true, ExpireTime: true, ReadOnlyScripts: true}
	without := func(change func(*Capabilities)) Capabilities {
		c := all
		change(&c)
		return c
	}
	for rule, want := range map[string]Capabilities{
		"+@all":         all,
		"-restore":      without(func(c *Capabilities) { c.Restore = false }),
		"-memory|usage": without(func(c *Capabilities) { c.Dump = false }),
		"-pexpiretime":  without(func(c *Capabilities) { c.ExpireTime = false }),
		"-eval_ro":      without(func(c *Capabilities) { c.ReadOnlyScripts = false }),
	} {
		s, c := realSide(t)
		do(t, c, "acl", "setuser", "default", rule)
		if caps, err := s.Capabilities(t.Context()); err != nil || caps != want {
			t.Errorf("%s: got %+v, %v; want %+v", rule, caps, err, want)
		}
	}
}
