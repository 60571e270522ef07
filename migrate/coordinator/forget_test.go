package coordinator

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/transload/transload/internal/control"
	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/topology"
)

// kept lists what a migration keeps on a side.
func kept(t *testing.T, cfg topology.Config) []string {
	t.Helper()
	keys, err := client(t, cfg).Keys(t.Context(), control.Prefix("default")+"*").Result()
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// refused fails the test unless err is a refusal whose figure holds a word.
func refused(t *testing.T, err error, gate, word string) {
	t.Helper()
	r, ok := errors.AsType[*Refusal](err)
	if !ok || r.Gate != gate || !strings.Contains(r.Figure, word) || r.Next == "" {
		t.Fatalf("got %v; want %s to refuse for %q", err, gate, word)
	}
}

func TestForget(t *testing.T) {
	t.Parallel() // it mostly waits for beats
	for name, kind := range map[string]func(t *testing.T) sides{"standalone": kinds["standalone"], "embedded": kinds["embedded"]} {
		t.Run(name, func(t *testing.T) {
			if testing.Short() && name != "embedded" {
				t.Skip("needs a real server")
			}
			s := kind(t)
			seed(t, s.source, 20)
			a := startApp(t, s, 2, 0)
			c := coordinate(t, s)
			stop := shadowing(t, c)
			waitShadow(t, c)
			stop()
			_, err := c.Forget(t.Context(), ForgetRequest{})
			refused(t, err, "phase", "shadow")
			if res, err := c.Rollback(t.Context(), RollbackRequest{}); err != nil || res.Phase != protocol.Off {
				t.Fatalf("got %+v, %v; want off", res, err)
			}
			_, err = c.Forget(t.Context(), ForgetRequest{Quiet: -1})
			refused(t, err, "members", "2 use this migration")
			a.end()
			_, err = c.Forget(t.Context(), ForgetRequest{})
			refused(t, err, "members", "was seen")
			if len(kept(t, s.source)) == 0 || len(kept(t, s.target)) == 0 {
				t.Error("a refusal removed something")
			}
			r, err := c.Forget(t.Context(), ForgetRequest{Quiet: -1})
			if err != nil || r.Removed == 0 || r.Phase != protocol.Off || r.LastSeen.IsZero() {
				t.Fatalf("got %+v, %v; want it forgotten", r, err)
			}
			for _, cfg := range []topology.Config{s.source, s.target} {
				if left := kept(t, cfg); len(left) != 0 {
					t.Errorf("got %q left; want nothing", left)
				}
			}
			if n := client(t, s.source).DBSize(t.Context()).Val(); n < 80 {
				t.Errorf("got %d keys of the app; want them left alone", n)
			}
			if r, err := c.Forget(t.Context(), ForgetRequest{}); err != nil || r.Phase != protocol.Off {
				t.Errorf("where there is no migration: got %+v, %v; want no error", r, err)
			}
		})
	}
}

// TestForgetDone forgets a migration that is done, with a member on the roll that
// died without a goodbye.
func TestForgetDone(t *testing.T) {
	t.Parallel() // it mostly waits for beats
	s := kinds["standalone"](t)
	seed(t, s.source, 20)
	a := startApp(t, s, 1, 0)
	c := coordinate(t, s)
	if err := goDone(t, c); err != nil {
		t.Fatal(err)
	}
	a.end()
	ghost := protocol.Entry{ID: "ghost", Beat: 3}
	if _, err := c.sides[protocol.Source].store.Refresh(t.Context(), ghost, false, false); err != nil {
		t.Fatal(err)
	}
	_, err := c.Forget(t.Context(), ForgetRequest{Quiet: time.Hour})
	refused(t, err, "members", "member ghost was seen on the source")
	// An hour later, by the server's clock.
	k := c.sides[protocol.Source].store.Keys()
	for _, cfg := range []topology.Config{s.source, s.target} {
		if err := client(t, cfg).HSet(t.Context(), k.Seen, "at", time.Now().Add(-61*time.Minute).Unix()).Err(); err != nil {
			t.Fatal(err)
		}
	}
	r, err := c.Forget(t.Context(), ForgetRequest{})
	if err != nil || r.Phase != protocol.Done || len(r.Silent) != 1 || r.Silent[0] != "ghost" {
		t.Fatalf("got %+v, %v; want it forgotten, with a silent member", r, err)
	}
	if n := client(t, s.source).Exists(t.Context(), k.Control).Val() + client(t, s.target).Exists(t.Context(), k.Control).Val(); n != 0 {
		t.Errorf("got %d records left; want none", n)
	}
}

// goDone takes a migration from its beginning to its end.
func goDone(t *testing.T, c *Coordinator) error {
	t.Helper()
	stop := shadowing(t, c)
	waitShadow(t, c)
	stop()
	care := Care{Limits: Limits{MinShadow: -1, P99: time.Second}, AcceptBypass: true}
	if _, err := c.Cutover(t.Context(), CutoverRequest{To: []int{100}, Care: care}); err != nil {
		return err
	}
	_, err := c.Finish(t.Context(), FinishRequest{MinSoak: -1, Care: care})
	return err
}
