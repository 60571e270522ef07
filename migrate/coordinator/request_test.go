package coordinator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/internal/redistest"
)

// pair is two standalone servers.
func pair(t *testing.T) sides {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a real server")
	}
	return sides{config(t, redistest.Standalone(t, redistest.Options{})), config(t, redistest.Standalone(t, redistest.Options{}))}
}

// TestHandOver lets one process shadow, and others ask it for everything else.
func TestHandOver(t *testing.T) {
	t.Parallel()
	s := pair(t)
	seed(t, s.source, 100)
	a := startApp(t, s, 2, 30)
	shadow := coordinate(t, s)
	shadowing(t, shadow)
	waitShadow(t, shadow)

	var mu sync.Mutex
	var told []string
	other := coordinate(t, s, func(o *Options) {
		o.Progress = func(p Progress) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, p.Text)
		}
	})
	if err := other.Shadow(t.Context()); !errors.Is(err, ErrRunning) {
		t.Errorf("second shadow: got %v; want %v", err, ErrRunning)
	}
	pre, err := other.PreviewCutover(t.Context(), CutoverRequest{To: []int{10, 100}})
	if err != nil || pre.Err() != nil || len(pre.Steps) != 2 || pre.Steps[1].Keys["sessions"] < 80 {
		t.Errorf("preview: got %+v, %v; want two steps with keys, and no gate shut", pre, err)
	}
	_, err = other.Cutover(t.Context(), CutoverRequest{To: []int{10}, Only: []string{"nosuch"}})
	if r, ok := errors.AsType[*Refusal](err); !ok || r.Gate != "workload" {
		t.Errorf("unknown workload: got %v; want a refusal", err)
	}
	res, err := other.Cutover(t.Context(), CutoverRequest{To: []int{100}})
	if err != nil || res.Phase != protocol.Soak || len(res.Moves) != 1 || !res.Moves[0].Committed {
		t.Fatalf("cutover: got %+v, %v; want soak after one move", res, err)
	}
	mu.Lock()
	if text := strings.Join(told, "\n"); !strings.Contains(text, "moving to 100 %") {
		t.Errorf("got progress %q; want that of the process that was asked", text)
	}
	mu.Unlock()
	redistest.Eventually(t, 10*time.Second, func() error { // members tell what they obey with their next refresh
		_, err := other.Finish(t.Context(), FinishRequest{})
		if r, ok := errors.AsType[*Refusal](err); !ok || r.Gate != "time in soak" {
			return fmt.Errorf("finish at once: got %w; want a refusal by the time in soak", err)
		}
		return nil
	})
	back, err := other.Rollback(t.Context(), RollbackRequest{})
	if err != nil || back.Phase != protocol.Shadow {
		t.Fatalf("rollback: got %+v, %v; want shadow", back, err)
	}
	a.verdict(t, s.source)
	swept(t, leader(t, shadow))
	slept := &asking{c: other, id: "x", looked: time.Now().Add(-2 * answerKept)}
	if _, err := slept.wait(t.Context()); err == nil || !strings.Contains(err.Error(), "stood still") {
		t.Errorf("an asker that slept: got %v; want that its answer is gone", err)
	}
}

// swept wants what nobody takes off the sides to be taken off by the coordinator.
func swept(t *testing.T, lead *term) {
	t.Helper()
	sd := lead.sides[protocol.Target]
	const field = answerField + "of another day"
	if err := sd.client.HSet(t.Context(), sd.store.Keys().Requests, field, "{}").Err(); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool {
		lead.desk.mu.Lock()
		lead.desk.strays["target "+field] = time.Now().Add(-2 * answerKept)
		lead.desk.mu.Unlock()
		fields, err := sd.client.HKeys(t.Context(), sd.store.Keys().Requests).Result()
		return err == nil && slices.Equal(fields, []string{liveField})
	})
}

// TestRollbackEndsCutover asks for a rollback while one cutover waits between two
// steps and another for its turn. Nor does the rollback's dry run wait for either.
func TestRollbackEndsCutover(t *testing.T) {
	t.Parallel()
	s := pair(t)
	startApp(t, s, 1, 20)
	stop := shadowing(t, coordinate(t, s))
	first := coordinate(t, s)
	eventually(t, func() bool { return phaseOf(t, first) == protocol.Shadow })
	stop()
	ended, queued := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := first.Cutover(t.Context(), CutoverRequest{To: []int{10, 100}, Every: longestHold * 100})
		ended <- err
	}()
	other := coordinate(t, s)
	eventually(t, func() bool { return phaseOf(t, other) == protocol.Cutover })
	told := make(chan struct{})
	tell := sync.OnceFunc(func() { close(told) })
	second := coordinate(t, s, func(o *Options) {
		o.Progress = func(p Progress) {
			if p.Text == "waits for its turn: cutover is carried out" {
				tell()
			}
		}
	})
	go func() {
		_, err := second.Cutover(t.Context(), CutoverRequest{To: []int{100}})
		queued <- err
	}()
	select {
	case <-told:
	case <-time.After(60 * time.Second):
		t.Fatal("the second cutover was not told that it waits")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	pre, err := other.PreviewRollback(ctx, RollbackRequest{})
	if err != nil || len(pre.Steps) != 1 {
		t.Errorf("dry run: got %+v, %v; want one step, beside the cutover", pre, err)
	}
	back, err := other.Rollback(ctx, RollbackRequest{})
	if err != nil || back.Phase != protocol.Shadow {
		t.Errorf("rollback: got %+v, %v; want shadow", back, err)
	}
	if err := <-ended; !errors.Is(err, errSuperseded) {
		t.Errorf("cutover: got %v; want %v", err, errSuperseded)
	}
	if err := <-queued; err == nil || err.Error() != errSuperseded.Error() {
		t.Errorf("cutover that waited: got %v; want %v", err, errSuperseded)
	}
}

func phaseOf(t *testing.T, c *Coordinator) protocol.Phase {
	t.Helper()
	recs, err := c.readings(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return recs.phase()
}

// TestAnAnswerWaitsForASide ends a verb while neither side can be reached for longer
// than a write is tried. Its asker would wait for ever.
func TestAnAnswerWaitsForASide(t *testing.T) {
	t.Parallel()
	s, proxy := slowly(t)
	src := redistest.Standalone(t, redistest.Options{})
	source := redistest.Proxy(t, src)
	s.source = config(t, src)
	s.source.Addrs = []string{source.Addr()}
	c := coordinate(t, s, func(o *Options) { o.NoMembers = true })
	shadowing(t, c)
	lead := leader(t, c)
	j := newJob("a test", "somebody")
	j.side, j.ans.Done, j.dirty = protocol.Target, true, true
	over, told := make(chan struct{}), make(chan struct{})
	close(over)
	proxy.Cut()
	source.Cut()
	go func() {
		defer close(told)
		lead.desk.tell(t.Context(), over, "x", j)
	}()
	select {
	case <-told:
		t.Error("it was given up while both sides were away")
	case <-time.After(2 * time.Second):
	}
	proxy.Heal()
	source.Heal()
	<-told
	a := &asking{c: coordinate(t, s), id: "x"}
	if ans, err := a.look(t.Context()); err != nil || !ans.Done {
		t.Errorf("got %+v, %v; want the answer", ans, err)
	}
}

// TestAnAnswerComesByTheOtherSide: a side that is gone for good takes no answer, and
// whoever asked looks at both.
func TestAnAnswerComesByTheOtherSide(t *testing.T) {
	t.Parallel()
	s, proxy := slowly(t)
	c := coordinate(t, s, func(o *Options) { o.NoMembers = true })
	shadowing(t, c)
	lead := leader(t, c)
	j := newJob("a test", "somebody")
	j.side, j.ans.Done, j.dirty = protocol.Target, true, true
	over := make(chan struct{})
	close(over)
	proxy.Cut()
	lead.desk.tell(t.Context(), over, "x", j)
	a := &asking{c: coordinate(t, s), id: "x"}
	if ans, err := a.look(t.Context()); err != nil || !ans.Done {
		t.Errorf("got %+v, %v; want the answer, from the source", ans, err)
	}
}
