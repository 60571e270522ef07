package coordinator

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/control"
	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/internal/redisproc"
	"github.com/transload/transload/internal/redistest"
)

// TestWriterShutOut has a writer that does not use the client. It is named; with
// --fence acl it is logged out of every node before the keys move, and the audit says
// how to let it in again.
func TestWriterShutOut(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("needs a real server")
	}
	set := redistest.Sentinel(t, redistest.Options{})
	s := sides{config(t, set), config(t, redistest.Standalone(t, redistest.Options{}))}
	for _, n := range set.Servers() {
		if isData(t, n) {
			redistest.Do(t, n, "ACL", "SETUSER", "legacy", "on", ">secret", "~*", "&*", "+@all")
		}
	}
	a := startApp(t, s, 2, 20)
	c := coordinate(t, s)
	shadowing(t, c)
	waitShadow(t, c)
	old := writerAs(t, set.Primaries(t.Context())[0], "legacy", "secret")
	op := coordinate(t, s)
	if _, err := op.Cutover(t.Context(), CutoverRequest{To: []int{100}}); !isRefusal(err, "other writers") || !strings.Contains(err.Error(), `user legacy, last command set`) {
		t.Errorf("not fenced: got %v; want a refusal that names the writer", err)
	}
	old.Set(t.Context(), "sess:{theirs}", "before", 0)
	res, err := op.Cutover(t.Context(), CutoverRequest{To: []int{100}, Care: Care{Fence: FenceACL}})
	if err != nil || res.Phase != protocol.Soak {
		t.Fatalf("got %+v, %v; want soak", res, err)
	}
	if err := old.Set(t.Context(), "sess:{theirs}", "late", 0).Err(); err == nil {
		t.Error("the writer still writes")
	}
	for _, n := range set.Servers() {
		if isData(t, n) && !strings.Contains(fmt.Sprint(redistest.Do(t, n, "ACL", "LIST")), "user legacy off") {
			t.Errorf("%s: got %v; want the user to be off", n.Addr(), redistest.Do(t, n, "ACL", "LIST"))
		}
	}
	wantKeys(t, s.target, map[string]string{"sess:{theirs}": "before"})
	if st := status(t, op); !slices.ContainsFunc(st.NextSteps, tells("ACL SETUSER legacy on")) {
		t.Errorf("got next steps %q; want how to let it in again", st.NextSteps)
	}
	a.verdict(t, s.target)
}

// isData reports whether a server keeps keys, as against a sentinel.
func isData(t *testing.T, n *redisproc.Server) bool {
	t.Helper()
	return !strings.Contains(fmt.Sprint(redistest.Do(t, n, "INFO", "server")), "redis_mode:sentinel")
}

// writerAs is a writer of another kind, on a connection of its own.
func writerAs(t *testing.T, s *redisproc.Server, user, password string) *redis.Client {
	t.Helper()
	c := redis.NewClient(&redis.Options{Addr: s.Addr(), Username: user, Password: password, MaxRetries: -1})
	t.Cleanup(func() { _ = c.Close() })
	if err := c.Set(t.Context(), "sess:{theirs}", "first", 0).Err(); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestWriterNotShutOut: a writer that logs in as the app does cannot be shut out,
// and one that was shut out for a step that comes to nothing is let in again.
func TestWriterNotShutOut(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("needs a real server")
	}
	src := redistest.Standalone(t, redistest.Options{})
	s := sides{config(t, src), config(t, redistest.Standalone(t, redistest.Options{}))}
	redistest.Do(t, src, "ACL", "SETUSER", "legacy", "on", ">secret", "~*", "&*", "+@all")
	startApp(t, s, 1, 0)
	c := coordinate(t, s)
	shadowing(t, c)
	waitShadow(t, c)
	same := writerAs(t, src, "", "")
	op := coordinate(t, s)
	req := CutoverRequest{To: []int{100}, Care: Care{Fence: FenceACL}}
	if _, err := op.Cutover(t.Context(), req); !isRefusal(err, "other writers") || !strings.Contains(err.Error(), "a user of their own") {
		t.Errorf("as the app: got %v; want a refusal with the next step", err)
	}
	_ = same.Close()
	old := writerAs(t, src, "legacy", "secret")
	sh := &shutting{t: c.term, side: c.term.sides[protocol.Source]}
	if err := sh.user(t.Context(), "legacy"); err != nil {
		t.Fatal(err)
	}
	if err := old.Set(t.Context(), "k", "v", 0).Err(); err == nil {
		t.Error("shut out, and still writes")
	}
	sh.undo(t.Context())
	if err := old.Set(t.Context(), "k", "v", 0).Err(); err != nil {
		t.Errorf("let in again: %v", err)
	}
	if got := stillOut(audit(t, c), protocol.Source); len(got) > 0 {
		t.Errorf("the audit says that %q are shut out", got)
	}
}

func audit(t *testing.T, c *Coordinator) []control.Event {
	t.Helper()
	evs, err := c.sides[protocol.Source].store.Events(t.Context(), 100)
	if err != nil {
		t.Fatal(err)
	}
	return evs
}
