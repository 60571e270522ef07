package sockets_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/transload/transload/internal/redisproc"
	"github.com/transload/transload/internal/redistest"
)

// withApp has a user besides the default one, as an app that can be fenced by its
// rights must.
var withApp = redistest.Options{Username: "app", Password: "s3cret"}

// openAs returns a connection that is logged in as the app's user.
func (w way) openAs(t *testing.T, user string) *redisproc.Conn {
	t.Helper()
	c := w.open(t)
	do(t, c, "AUTH", user, "s3cret")
	return c
}

func replyError(err error) string {
	if re, ok := errors.AsType[redisproc.ReplyError](err); ok {
		return string(re)
	}
	return ""
}

// TestRevokedWritesStopAtOnce: taking @write from a user stops the writes of its
// open connections then and there, those on the way and those put aside included.
func TestRevokedWritesStopAtOnce(t *testing.T) {
	t.Parallel()
	ways(t, withApp, func(t *testing.T, w way) {
		const n = 10
		ctl := redistest.Conn(t, w.server)
		var wg sync.WaitGroup
		for i := range n {
			c := w.openAs(t, "app")
			chunk := strings.Repeat(redisproc.Command("INCR", key(i)), 100)
			wg.Go(func() { // until a whole chunk was refused
				for refused := 0; refused < 100; {
					if _, err := c.Write([]byte(chunk)); err != nil {
						t.Error(err)
						return
					}
					refused = 0
					for range 100 {
						if _, err := c.Receive(); strings.HasPrefix(replyError(err), "NOPERM") {
							refused++
						} else if err != nil {
							t.Error(err)
							return
						}
					}
				}
			})
		}
		for i := range n {
			redistest.Eventually(t, 10*time.Second, func() error {
				if get(t, ctl, key(i)) == "" {
					return fmt.Errorf("stream %d has not begun", i)
				}
				return nil
			})
		}
		do(t, ctl, "MULTI")
		do(t, ctl, "ACL", "SETUSER", "app", "-@write")
		for i := range n {
			do(t, ctl, "GET", key(i))
		}
		atSwitch, _ := do(t, ctl, "EXEC").([]any)
		wg.Wait()
		for i := range n {
			if got := get(t, ctl, key(i)); got != atSwitch[i+1] {
				t.Errorf("stream %d: got %v at the switch and %s later; want nothing executed after it", i, atSwitch[i+1], got)
			}
		}
	})
}

// TestRevokedWritesThatWereUnderWay covers what a stream does not: a transaction
// that was queued, a write behind a pause, a script.
func TestRevokedWritesThatWereUnderWay(t *testing.T) {
	t.Parallel()
	revoke := func(t *testing.T, ctl *redisproc.Conn) { do(t, ctl, "ACL", "SETUSER", "app", "-@write") }

	t.Run("queued in MULTI", func(t *testing.T) {
		w, ctl := appServer(t)
		c := w.openAs(t, "app")
		do(t, c, "MULTI")
		do(t, c, "INCR", "k")
		revoke(t, ctl)
		if v, err := c.Do(t.Context(), "EXEC"); replyError(err) == "" {
			// EXEC answers a list whose one element is the refusal.
			if list, _ := v.([]any); len(list) != 1 || !isReplyError(list[0], "NOPERM") {
				t.Errorf("got %v, %v; want a refusal", v, err)
			}
		}
		wantNothing(t, ctl, "k")
	})

	t.Run("behind a pause", func(t *testing.T) {
		w, ctl := appServer(t)
		c := w.openAs(t, "app")
		me := id(t, c)
		do(t, ctl, "CLIENT", "PAUSE", "60000", "WRITE")
		if err := c.Send("INCR", "k"); err != nil {
			t.Fatal(err)
		}
		redistest.Eventually(t, 10*time.Second, func() error {
			if got := clients(t, ctl)[me]["flags"]; got != "b" {
				return fmt.Errorf("not put aside yet: flags=%s", got)
			}
			return nil
		})
		revoke(t, ctl)
		do(t, ctl, "CLIENT", "UNPAUSE")
		if v, err := c.Receive(); !strings.HasPrefix(replyError(err), "NOPERM") {
			t.Errorf("got %v, %v; want a refusal", v, err)
		}
		wantNothing(t, ctl, "k")
	})

	t.Run("script", func(t *testing.T) {
		w, ctl := appServer(t)
		c := w.openAs(t, "app")
		revoke(t, ctl)
		// The refusal of a script's write does not begin with NOPERM.
		if v, err := c.Do(t.Context(), "EVAL", "return redis.call('INCR', KEYS[1])", "1", "k"); replyError(err) == "" {
			t.Errorf("got %v, %v; want a refusal", v, err)
		}
		wantNothing(t, ctl, "k")
	})
}

func isReplyError(v any, prefix string) bool {
	re, ok := v.(redisproc.ReplyError)
	return ok && strings.HasPrefix(string(re), prefix)
}

func appServer(t *testing.T) (way, *redisproc.Conn) {
	t.Helper()
	s := redistest.Standalone(t, withApp)
	return way{s, dialTo(s.Addr())}, redistest.Conn(t, s)
}

// blocked sends a blocking move and waits until the server holds it.
func blocked(t *testing.T, ctl, c *redisproc.Conn) {
	t.Helper()
	me := id(t, c)
	if err := c.Send("BLMOVE", "from", "to", "LEFT", "RIGHT", "0"); err != nil {
		t.Fatal(err)
	}
	redistest.Eventually(t, 10*time.Second, func() error {
		if got := clients(t, ctl)[me]["flags"]; got != "b" {
			return fmt.Errorf("not blocked yet: flags=%s", got)
		}
		return nil
	})
}

// TestRevokedWritesHaveHoles: what was blocked before is served after, and some
// commands that change what others see are no writes.
func TestRevokedWritesHaveHoles(t *testing.T) {
	t.Parallel()
	w, ctl := appServer(t)
	mover, c := w.openAs(t, "app"), w.openAs(t, "app")
	blocked(t, ctl, mover)
	do(t, ctl, "ACL", "SETUSER", "app", "-@write")
	do(t, ctl, "RPUSH", "from", "x")
	if got := receive(t, mover); got != "x" {
		t.Errorf("got %v; want that the blocked move is served", got)
	}
	if got := do(t, ctl, "LLEN", "to"); got != int64(1) {
		t.Errorf("got %v elements written by a user who may not write; want 1", got)
	}
	do(t, c, "PUBLISH", "channel", "x")
	do(t, c, "SCRIPT", "FLUSH")
}

// TestUserOffStopsNobody: a user who is off cannot log in, and goes on where it is
// logged in.
func TestUserOffStopsNobody(t *testing.T) {
	t.Parallel()
	w, ctl := appServer(t)
	c := w.openAs(t, "app")
	do(t, ctl, "ACL", "SETUSER", "app", "off")
	do(t, c, "INCR", "k")
	if got := get(t, ctl, "k"); got != "1" {
		t.Errorf("got %q; want 1", got)
	}
	if v, err := w.open(t).Do(t.Context(), "AUTH", "app", "s3cret"); !strings.HasPrefix(replyError(err), "WRONGPASS") {
		t.Errorf("AUTH: got %v, %v; want WRONGPASS", v, err)
	}
}

// TestCompleteForms: off and kill in one transaction, or the user deleted. Blocked
// commands die, streams die, and who waits to be accepted cannot log in.
func TestCompleteForms(t *testing.T) {
	t.Parallel()
	const n = 5
	for name, commands := range map[string][][]string{
		"off and killed": {{"ACL", "SETUSER", "app", "off"}, {"CLIENT", "KILL", "USER", "app"}},
		"deleted":        {{"ACL", "DELUSER", "app"}},
	} {
		t.Run(name, func(t *testing.T) {
			ways(t, withApp, func(t *testing.T, w way) {
				ctl := redistest.Conn(t, w.server)
				mover := w.openAs(t, "app")
				blocked(t, ctl, mover)
				var streams sync.WaitGroup
				for i := range n {
					c := w.openAs(t, "app")
					streams.Go(func() { stream(c, key(i)) })
				}
				late := w.open(t) // accepted or not, it has not logged in
				do(t, ctl, "MULTI")
				for _, args := range commands {
					do(t, ctl, args...)
				}
				for i := range n {
					do(t, ctl, "GET", key(i))
				}
				atEnd, _ := do(t, ctl, "EXEC").([]any)
				streams.Wait()
				for i := range n {
					want, _ := atEnd[len(commands)+i].(string)
					if got := get(t, ctl, key(i)); got != want {
						t.Errorf("stream %d: got %q at the end and %q later; want nothing executed after it", i, want, got)
					}
				}
				if !isDead(mover) {
					t.Error("the blocked connection lives")
				}
				do(t, ctl, "RPUSH", "from", "x")
				wantNothing(t, ctl, "to")
				if v, err := late.Do(t.Context(), "AUTH", "app", "s3cret"); !strings.HasPrefix(replyError(err), "WRONGPASS") {
					t.Errorf("AUTH: got %v, %v; want WRONGPASS", v, err)
				}
			})
		})
	}
}

// TestRightsStayWhereTheyAre: they are not replicated, and a restart forgets what
// was not saved. So this fence must be put up on every node, replicas included,
// and saved.
func TestRightsStayWhereTheyAre(t *testing.T) {
	t.Parallel()
	set := redistest.Options{Username: "app", Password: "s3cret", Replicas: 1}
	s := redistest.Sentinel(t, set)
	primary, replica := s.Nodes[0], s.Nodes[1]
	redistest.Do(t, primary, "ACL", "SETUSER", "app", "off")
	redistest.Do(t, primary, "SET", "k", "v")
	redistest.Eventually(t, 10*time.Second, func() error {
		if got := redistest.Do(t, replica, "GET", "k"); got != "v" {
			return fmt.Errorf("replica: got %v; want v", got)
		}
		return nil
	})
	login := func(n *redisproc.Server) error {
		_, err := n.Do(t.Context(), "AUTH", "app", "s3cret")
		return err
	}
	if err := login(replica); err != nil {
		t.Errorf("replica: got %v; want that it knows nothing of the fence", err)
	}
	if err := login(primary); err == nil {
		t.Error("primary: got no error; want that the user is off")
	}
	if err := primary.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := login(primary); err != nil {
		t.Errorf("primary restarted: got %v; want that it has forgotten the fence", err)
	}
}
