package coordinator

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/internal/redisproc"
	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/migrate"
	"github.com/transload/transload/topology"
)

// keeps is a server that has its data again when it is started anew.
var keeps = redistest.Options{Args: []string{"--appendonly", "yes", "--appendfsync", "always"}}

// TestSourceGivenUp loses the source in shadow, with some keys that were not
// copied: they are told, and nothing else is lost. The target answers for all. When the source
// comes back with its old record and its old data, nobody uses it; a new shadow makes
// it the mirror, and there is a way back.
func TestSourceGivenUp(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("needs a real server")
	}
	src, dst := redistest.Standalone(t, keeps), redistest.Standalone(t, redistest.Options{})
	s := sides{config(t, src), config(t, dst)}
	seed(t, s.source, 50)
	a := startApp(t, s, 2, 0)
	c := coordinate(t, s)
	stop := shadowing(t, c)
	eventually(t, func() bool { return status(t, c).Sync.Done })

	writeUncopied(t, a, dst, 7)
	if err := src.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := dst.Thaw(); err != nil {
		t.Fatal(err)
	}
	app := a.clients[0]
	waiting := make(chan error, 1) // a write that waits for a side that answers
	go func() {
		waiting <- untilDone(func() error { return app.Set(t.Context(), "sess:{late}", "1", 0).Err() })
	}()
	eventually(t, func() bool {
		return len(status(t, c).NextSteps) > 0 && slices.ContainsFunc(status(t, c).NextSteps, tells("--source-lost"))
	})
	redistest.Eventually(t, 10*time.Second, func() error {
		preview, err := coordinate(t, s).PreviewGiveUp(t.Context(), GiveUpRequest{Lost: protocol.Source})
		if err != nil || preview.Err() != nil || preview.Risk.Members["sessions"].Keys != 7 {
			return fmt.Errorf("preview: got %+v, %v; want 7 sessions at risk", preview, err)
		}
		return nil
	})
	began := time.Now()
	res, err := coordinate(t, s).GiveUp(t.Context(), GiveUpRequest{Lost: protocol.Source})
	if err != nil || !res.Taken || res.Phase != protocol.Soak {
		t.Fatalf("got %+v, %v; want all taken", res, err)
	}
	if took := time.Since(began); took < protocol.SilentFor {
		t.Errorf("taken after %v; want leases on the source to be waited out", took)
	}
	if w := res.Risk.Members["sessions"]; w.Keys != 7 || !isHashOf(w.Hashes, "sess:{uncopied%d}", 7) || w.Since.IsZero() || res.Risk.VerifiedAt.IsZero() {
		t.Errorf("got %+v; want the 7 keys that were not copied", res.Risk)
	}
	if err := <-waiting; err != nil {
		t.Errorf("the write that waited: %v", err)
	}
	wantKeys(t, s.target, map[string]string{"sess:{late}": "1", "sess:{7}": "value 7", "sess:{uncopied0}": ""})
	evs, _ := c.Events(t.Context(), 0)
	if i := slices.IndexFunc(evs, func(e Event) bool { return e.What == gaveUp(protocol.Source) }); i < 0 || evs[i].Figures["may_be_lost_sessions_by_members"] != "7" {
		t.Errorf("got %+v; want the audit to tell what may be lost", evs)
	}

	comesBack(t, s, a, src, stop)
	next := coordinate(t, s)
	shadowing(t, next)
	waitShadow(t, next)
	eventually(t, func() bool { return !slices.ContainsFunc(status(t, next).Blockers, tells("given up")) })
	wantKeys(t, s.source, map[string]string{"sess:{after}": "2", "sess:{uncopied0}": ""})
	redistest.Eventually(t, 60*time.Second, func() error {
		_, err := coordinate(t, s).Rollback(t.Context(), RollbackRequest{})
		return err
	})
	wantEqual(t, next)
}

// isHashOf reports whether the hashes are those of n keys, named by their number.
func isHashOf(hashes []string, format string, n int) bool {
	var want []string
	for i := range n {
		want = append(want, migrate.HashKey(fmt.Sprintf(format, i)))
	}
	slices.Sort(want)
	return slices.Equal(slices.Sorted(slices.Values(hashes)), want)
}

// untilDone tries a write of an app, as the app would, for a minute.
func untilDone(f func() error) (err error) {
	for began := time.Now(); time.Since(began) < time.Minute; time.Sleep(100 * time.Millisecond) {
		if err = f(); err == nil {
			return nil
		}
	}
	return err
}

func tells(text string) func(string) bool {
	return func(s string) bool { return strings.Contains(s, text) }
}

// writeUncopied has an app write keys while the other side is frozen, and stays so.
func writeUncopied(t *testing.T, a *app, frozen *redisproc.Server, n int) {
	t.Helper()
	if err := frozen.Freeze(); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if err := a.clients[i%2].Set(t.Context(), fmt.Sprintf("sess:{uncopied%d}", i), i, 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
}

// comesBack starts the source again, with its old record and data, when no member
// and no coordinator is there to know better. A member that begins then uses
// the target alone.
func comesBack(t *testing.T, s sides, a *app, src *redisproc.Server, stop func()) {
	t.Helper()
	stop()
	a.end()
	if err := src.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	old := client(t, s.source)
	if text := old.Get(t.Context(), "transload:{default}:control").Val(); !strings.Contains(text, `"phase":"shadow"`) {
		t.Fatalf("the source came back with %q; want its old record", text)
	}
	a.clients = append(a.clients, startMember(t, s))
	if err := a.clients[0].Set(t.Context(), "sess:{after}", "2", 0).Err(); err != nil {
		t.Fatal(err)
	}
	wantKeys(t, s.target, map[string]string{"sess:{after}": "2"})
	redistest.Eventually(t, 10*time.Second, func() error {
		if text := old.Get(t.Context(), "transload:{default}:control").Val(); !strings.Contains(text, `"phase":"soak"`) {
			return fmt.Errorf("the source has %q; want the record of a mirror", text)
		}
		return nil
	})
	if st := status(t, coordinate(t, s)); st.Phase != protocol.Soak || !slices.ContainsFunc(st.Blockers, tells("given up")) {
		t.Errorf("got %v, blockers %q; want soak, and that the source is not equal", st.Phase, st.Blockers)
	}
}

func startMember(t *testing.T, s sides) *migrate.Client {
	t.Helper()
	c, err := migrate.Open(t.Context(), migrate.Options{Source: s.source, Target: s.target, Logger: testLog(t, "new member")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	ready, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := c.Ready(ready); err != nil {
		t.Fatal(err)
	}
	return c
}

// wantKeys wants keys to have values on a side; "" is none.
func wantKeys(t *testing.T, cfg topology.Config, want map[string]string) {
	t.Helper()
	c := client(t, cfg)
	for key, value := range want {
		if got := c.Get(t.Context(), key).Val(); got != value {
			t.Errorf("%s: got %q; want %q", key, got, value)
		}
	}
}

// wantEqual wants both sides to be the same.
func wantEqual(t *testing.T, c *Coordinator) {
	t.Helper()
	redistest.Eventually(t, 30*time.Second, func() error {
		rep, err := c.Verify(t.Context(), VerifyRequest{})
		if err != nil {
			return fmt.Errorf("%+v: %w", rep, err)
		}
		return nil
	})
}

// TestTargetGivenUp loses a target in soak, while nobody coordinates: a command of
// its own gives it up, and the source answers for all. The target comes back empty.
func TestTargetGivenUp(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("needs a real server")
	}
	src, dst := redistest.Cluster(t, redistest.Options{}), redistest.Standalone(t, redistest.Options{})
	s := sides{config(t, src), config(t, dst)}
	seed(t, s.source, 50)
	a := startApp(t, s, 2, 0)
	c := coordinate(t, s)
	stop := shadowing(t, c)
	waitShadow(t, c)
	moveWhenReady(t, coordinate(t, s), CutoverRequest{To: []int{100}})
	wantEqual(t, c)
	stop()
	if err := a.clients[0].Set(t.Context(), "sess:{on target}", "1", 0).Err(); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool {
		return status(t, c).Mirror.Written > 0 && client(t, s.source).Exists(t.Context(), "sess:{on target}").Val() == 1
	})
	if err := dst.Kill(); err != nil {
		t.Fatal(err)
	}
	res, err := coordinate(t, s).GiveUp(t.Context(), GiveUpRequest{Lost: protocol.Target})
	if err != nil || !res.Taken || res.Phase != protocol.Shadow {
		t.Fatalf("got %+v, %v; want all taken", res, err)
	}
	if err := a.clients[1].Set(t.Context(), "sess:{on source}", "2", 0).Err(); err != nil {
		t.Fatal(err)
	}
	wantKeys(t, s.source, map[string]string{"sess:{on target}": "1", "sess:{on source}": "2", "sess:{7}": "value 7"})
	if again, err := coordinate(t, s).GiveUp(t.Context(), GiveUpRequest{Lost: protocol.Target}); !isRefusal(err, "phase") {
		t.Errorf("again: got %+v, %v; want a refusal: it owns nothing", again, err)
	}
	if err := dst.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	next := coordinate(t, s)
	shadowing(t, next)
	waitShadow(t, next)
	wantEqual(t, next)
}

// TestNotGivenUp keeps a source that answers: to the coordinator, or to a member
// alone. Nothing is changed by the attempt.
func TestNotGivenUp(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("needs a real server")
	}
	src, dst := redistest.Standalone(t, redistest.Options{}), redistest.Standalone(t, redistest.Options{})
	s := sides{config(t, src), config(t, dst)}
	a := startApp(t, s, 2, 0)
	c := coordinate(t, s)
	stop := shadowing(t, c)
	waitShadow(t, c)
	other := coordinate(t, s)
	if _, err := other.GiveUp(t.Context(), GiveUpRequest{Lost: protocol.Source}); !isRefusal(err, "source") {
		t.Errorf("it answers: got %v; want a refusal", err)
	}
	if _, err := other.GiveUp(t.Context(), GiveUpRequest{Lost: protocol.Target}); !isRefusal(err, "phase") {
		t.Errorf("the target owns nothing: got %v; want a refusal", err)
	}
	stop()
	before := status(t, c).Epoch

	cut := redistest.Proxy(t, src) // the coordinator's way to it
	far := s
	var err error
	if far.source, err = topology.FromEnv("REDIS", redistest.Getenv(map[string]string{"REDIS_URL": "redis://" + cut.Addr()})); err != nil {
		t.Fatal(err)
	}
	if err := cut.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = coordinate(t, far).GiveUp(t.Context(), GiveUpRequest{Lost: protocol.Source})
	if !isRefusal(err, "source") || !strings.Contains(err.Error(), "holds a lease on the source") {
		t.Errorf("members reach it: got %v; want a refusal that names one", err)
	}
	if st := status(t, c); st.Epoch != before || st.Phase != protocol.Shadow {
		t.Errorf("got epoch %d, %v; want nothing changed", st.Epoch, st.Phase)
	}
	if err := a.clients[0].Set(t.Context(), "sess:{1}", "x", 0).Err(); err != nil {
		t.Error(err)
	}
}
