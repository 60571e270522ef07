package coordinator

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/protocol"
)

// abandon ends a term as kill -9 does: its goroutines stop, and it says no
// goodbye.
func (t *term) abandon() {
	t.end(errors.New("killed"))
	t.wg.Wait()
	_ = t.close()
}

// A killer does something, once, right after a record of one stage has been
// written and before its writer hears of that.
type killer struct {
	stage protocol.Stage
	act   func()
	done  atomic.Bool
}

func (k *killer) DialHook(next redis.DialHook) redis.DialHook { return next }

func (k *killer) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

func (k *killer) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := next(ctx, cmds)
		if k.deadly(cmds) && k.done.CompareAndSwap(false, true) {
			k.act()
		}
		return err
	}
}

// deadly reports whether a pipeline wrote a record of the stage.
func (k *killer) deadly(cmds []redis.Cmder) bool {
	for _, cmd := range cmds {
		args := cmd.Args()
		if name, _ := args[0].(string); name != "evalsha" || len(args) < 8 {
			continue
		}
		text, _ := args[7].(string)
		if rec, err := protocol.Decode(text); err == nil && rec.Move != nil && rec.Move.Stage == k.stage {
			return true
		}
	}
	return false
}

// TestTakeOver starts a coordinator while another one's lock stands and beats no
// more: it is waited out and fenced. One that beats is ErrRunning.
func TestTakeOver(t *testing.T) {
	t.Parallel()
	s := pair(t)
	c := coordinate(t, s)
	_, old, err := c.lead(t.Context(), "shadow")
	if err != nil {
		t.Fatal(err)
	}
	other := coordinate(t, s)
	if _, _, err := other.lead(t.Context(), "shadow"); !errors.Is(err, ErrRunning) {
		t.Fatalf("while it runs: got %v; want %v", err, ErrRunning)
	}
	old.end(errors.New("stopped")) // its connections stay
	old.wg.Wait()
	copies := old.keys[protocol.Source].client
	if err := copies.Set(t.Context(), "k", "before", 0).Err(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	_, next, err := other.lead(t.Context(), "shadow")
	if err != nil {
		t.Fatal(err)
	}
	defer next.abandon()
	if took := time.Since(began); took < protocol.SilentFor {
		t.Errorf("took over after %v; want no less than %v", took, protocol.SilentFor)
	}
	for range 3 { // the pool's connections are dead, and new ones are refused
		err = copies.Set(t.Context(), "k", "late", 0).Err()
	}
	if !errors.Is(err, errLock) {
		t.Errorf("write of the replaced coordinator: got %v; want %v", err, errLock)
	}
	if got := client(t, s.source).Get(t.Context(), "k").Val(); got != "before" {
		t.Errorf("got %q; want what was written before the fence", got)
	}
	if err := old.close(); err != nil {
		t.Error(err)
	}
}

// TestUnfenceable leaves a lock behind where connections cannot be listed: it is
// taken over only by one that was told that the other process has ended.
func TestUnfenceable(t *testing.T) {
	t.Parallel()
	for name, told := range map[string]bool{"not told": false, "told": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // each waits out the holder
			s := sides{embeddedConfig(t), embeddedConfig(t)}
			_, old, err := coordinate(t, s).lead(t.Context(), "shadow")
			if err != nil {
				t.Fatal(err)
			}
			old.abandon()
			_, next, err := coordinate(t, s, func(o *Options) { o.TakeOver = told }).lead(t.Context(), "shadow")
			if err == nil {
				defer next.abandon()
			}
			if r, ok := errors.AsType[*Refusal](err); ok != !told || ok && r.Gate != "lock" || told && err != nil {
				t.Fatalf("got %v; want a refusal only if it was not told", err)
			}
		})
	}
}
