package coordinator

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/internal/redisproc"
	"github.com/transload/transload/internal/redistest"
)

// syncing returns what keeps the sides equal in a migration without members.
func syncing(t *testing.T, s sides) *syncer {
	t.Helper()
	c := coordinate(t, s, func(o *Options) { o.NoMembers = true })
	shadowing(t, c)
	waitShadow(t, c)
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.term.syncer
}

// holding is syncing as in a hold in which every session moves to the target:
// nothing is copied but by the test, and nothing is dirty.
func holding(t *testing.T, s sides) *syncer {
	t.Helper()
	sy := syncing(t, s)
	sy.batches.Lock()
	t.Cleanup(sy.batches.Unlock)
	v := *sy.view.Load()
	v.rec[protocol.Source].Move = &protocol.Move{
		ID: "m", From: protocol.Source, Stage: protocol.Held, Goal: map[string]int{"sessions": protocol.Slots},
	}
	sy.view.Store(&v)
	sy.dirty.Take(0, 0)
	return sy
}

// proof returns a proof that a test takes step by step.
func (s *syncer) proof() *proof { return &proof{s: s, v: s.view.Load(), giver: protocol.Source} }

// A spy is told of commands that were answered.
type spy struct {
	after func(ctx context.Context, cmds []redis.Cmder)
}

func (s spy) DialHook(next redis.DialHook) redis.DialHook { return next }

func (s spy) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		s.after(ctx, []redis.Cmder{cmd})
		return err
	}
}

func (s spy) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := next(ctx, cmds)
		s.after(ctx, cmds)
		return err
	}
}

// TestAWatermarkGoesThroughBothFeeds: what either side was told before is named,
// and while one of them does not answer there is none.
func TestAWatermarkGoesThroughBothFeeds(t *testing.T) {
	t.Parallel()
	src, dst := redistest.Standalone(t, redistest.Options{}), redistest.Standalone(t, redistest.Options{})
	pr := holding(t, sides{config(t, src), config(t, dst)}).proof()
	for name, server := range map[string]*redisproc.Server{"source": src, "target": dst} {
		redistest.Do(t, server, "SET", "sess:{"+name+"}", "x")
		if names, err := pr.mark(t.Context(), false); err != nil || len(names) != 1 || names[0] != "sess:{"+name+"}" {
			t.Errorf("changed on the %s: got %v, %v; want its name", name, names, err)
		}
		if err := server.Freeze(); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		names, err := pr.mark(ctx, false)
		cancel()
		if err == nil {
			t.Errorf("with the %s frozen: got %v; want no watermark", name, names)
		}
		if err := server.Thaw(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAProofHearsWhatComesDuringItsCompare: members write nothing that is held, but
// somebody else's write that comes right after its key was read is named again, and
// stays to be compared.
func TestAProofHearsWhatComesDuringItsCompare(t *testing.T) {
	t.Parallel()
	src, dst := redistest.Standalone(t, redistest.Options{}), redistest.Standalone(t, redistest.Options{})
	sy := holding(t, sides{config(t, src), config(t, dst)})
	for _, server := range []*redisproc.Server{src, dst} {
		redistest.Do(t, server, "SET", "sess:{1}", "early")
	}
	came := false
	sy.t.keys[protocol.Source].client.AddHook(spy{after: func(ctx context.Context, cmds []redis.Cmder) {
		read := slices.ContainsFunc(cmds, func(c redis.Cmder) bool { return c.Name() == "dump" && c.Args()[1] == "sess:{1}" })
		if came || !read {
			return
		}
		came = true
		redistest.Do(t, src, "SET", "sess:{1}", "late")
		if err := sy.feeds[protocol.Source].Watermark(ctx); err != nil {
			t.Error(err)
		}
	}})
	sy.dirty.Add("sess:{1}")
	d := &driver{s: sy, t: sy.t, giver: protocol.Source, events: make(chan event, 4)}
	d.prove(t.Context())
	ev := <-d.events
	if ev.Proved == nil || !ev.Proved.OK || !came {
		t.Fatalf("got %+v, and a write: %v; want a proof", ev.Proved, came)
	}
	if names := sy.dirty.Take(0, 0); !slices.Contains(names, "sess:{1}") {
		t.Errorf("got %v to be compared next; want what came during the compare", names)
	}
}

// TestAProofNoticesAnotherMaster of the taking side, by its broken feed at first,
// and then by what has to be walked again.
func TestAProofNoticesAnotherMaster(t *testing.T) {
	t.Parallel()
	dst := redistest.Standalone(t, redistest.Options{})
	sy := holding(t, sides{config(t, redistest.Standalone(t, redistest.Options{})), config(t, dst)})
	pr := sy.proof()
	if err := pr.masters(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := dst.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := dst.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if pr.masters(t.Context()) == nil {
		t.Error("right after a restart: got nil; want it noticed")
	}
	if err := sy.feeds[protocol.Target].Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	if pr.masters(t.Context()) == nil {
		t.Error("once the feed is back: got nil; want it noticed")
	}
}

// TestAHoldWaitsForWhatIsBeingCopied: a walk's batch may have deletions under way.
func TestAHoldWaitsForWhatIsBeingCopied(t *testing.T) {
	t.Parallel()
	sy := syncing(t, pair(t))
	d := &driver{s: sy, t: sy.t, giver: protocol.Source, hold: time.Second}
	held := protocol.Output{Kind: protocol.DoWrite}
	held.Change.New.Move = &protocol.Move{ID: "m", From: protocol.Source, Stage: protocol.Held}
	sy.batches.RLock() // a batch is under way
	staged := make(chan error, 1)
	go func() { staged <- d.stage(t.Context(), held) }()
	select {
	case err := <-staged:
		t.Errorf("got %v beside a batch; want the hold to wait for it", err)
		sy.batches.RUnlock()
	case <-time.After(200 * time.Millisecond):
		sy.batches.RUnlock()
		if err := <-staged; err != nil {
			t.Error(err)
		}
	}
	d.resume()
}

// TestAFailedProofPutsBack: names that a proof took and could not compare are
// dirty again. Else the next proof would find nothing to compare, and would pass
// over keys that differ.
func TestAFailedProofPutsBack(t *testing.T) {
	t.Parallel()
	s := pair(t)
	seed(t, s.source, 10)
	sy := holding(t, s)
	sy.dirty.Add("sess:{1}", "sess:{2}", "l:1")
	_ = sy.t.keys[protocol.Target].client.Close() // so that the proof can take, and not compare

	d := &driver{s: sy, t: sy.t, giver: protocol.Source, events: make(chan event, 4)}
	d.prove(t.Context())
	ev := <-d.events
	if ev.Proved == nil || ev.Proved.OK {
		t.Fatalf("got %+v; want a proof that failed", ev.Proved)
	}
	left := map[string]bool{}
	for _, name := range sy.dirty.Take(0, 0) {
		left[name] = true
	}
	for _, name := range []string{"sess:{1}", "sess:{2}", "l:1"} {
		if !left[name] {
			t.Errorf("%s is not dirty any more; got %v", name, left)
		}
	}
}
