package coordinator

import (
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/transload/transload/internal/feed"
	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/topology"
)

// TestAbort breaks a feed right after a move's record of each stage before the
// commit was written. The move is aborted: both records are as before but for
// their stamps, the app writes on, and the same coordinator can move at once.
func TestAbort(t *testing.T) {
	t.Parallel() // so that its subtests wait beside everybody else's
	for _, stage := range []protocol.Stage{protocol.Prepared, protocol.Held, protocol.Offered} {
		t.Run(string(stage), func(t *testing.T) {
			t.Parallel()
			s := pair(t)
			seed(t, s.source, 50)
			a := startApp(t, s, 2, 20)
			var tm *term
			k := &killer{stage: stage, act: func() {
				tm.syncer.gap(protocol.Target, feed.Gap{Err: errors.New("a test breaks it")})
				time.Sleep(50 * time.Millisecond) // so that the mover hears of it before the record's answer
			}}
			c := coordinate(t, s, func(o *Options) { o.extra = []topology.Option{topology.WithHook(k)} })
			startShadow(t, s)
			ctx, leading, err := c.lead(t.Context(), "cutover")
			if err != nil {
				t.Fatal(err)
			}
			tm = leading
			defer tm.quit(t.Context())
			if err := tm.readyToMove(ctx); err != nil {
				t.Fatal(err)
			}
			before := tm.known()
			report, err := tm.syncer.move(ctx, protocol.Source, tm.goal(nil, protocol.Cut(50)), 10*time.Second)
			if !errors.Is(err, ErrAborted) || report.Committed || report.Reason == "" {
				t.Fatalf("got %+v, %v; want it aborted, with a reason", report, err)
			}
			sameButForStamps(t, c, before)
			redistest.Eventually(t, 10*time.Second, moreWrites(a))
			if err := tm.waitPassed(ctx, stuckFor); err != nil {
				t.Fatal(err)
			}
			if report, err = tm.syncer.move(ctx, protocol.Source, tm.goal(nil, protocol.Cut(100)), 5*time.Second); err != nil {
				t.Fatalf("the next move: got %+v, %v", report, err)
			}
			a.verdict(t, s.target)
		})
	}
}

// TestAbortedWayBack gives a rollback up in its hold. The commit of the cutover
// still stands on the source's record, and the target's tells no more of its grant:
// that is no move under way.
func TestAbortedWayBack(t *testing.T) {
	t.Parallel()
	s := pair(t)
	startApp(t, s, 2, 20)
	startShadow(t, s)
	if err := cutOrDone(t, coordinate(t, s)); err != nil {
		t.Fatal(err)
	}
	var tm *term
	k := &killer{stage: protocol.Held, act: func() {
		tm.syncer.gap(protocol.Source, feed.Gap{Err: errors.New("a test breaks it")})
		time.Sleep(50 * time.Millisecond) // so that the mover hears of it before the record's answer
	}}
	c := coordinate(t, s, func(o *Options) { o.extra = []topology.Option{topology.WithHook(k)} })
	ctx, leading, err := c.lead(t.Context(), "rollback")
	if err != nil {
		t.Fatal(err)
	}
	tm = leading
	defer tm.quit(t.Context())
	if err := tm.readyToMove(ctx); err != nil {
		t.Fatal(err)
	}
	if report, err := tm.syncer.move(ctx, protocol.Target, tm.goal(nil, 0), time.Second); !errors.Is(err, ErrAborted) {
		t.Fatalf("got %+v, %v; want it aborted", report, err)
	}
	if st := status(t, c); st.Moving != nil || st.Phase != protocol.Soak {
		t.Errorf("got %v and %+v; want soak, and no move", st.Phase, st.Moving)
	}
}

// startShadow begins a migration and leaves it in shadow.
func startShadow(t *testing.T, s sides) {
	t.Helper()
	c := coordinate(t, s)
	stop := shadowing(t, c)
	waitShadow(t, c)
	stop()
}

// sameButForStamps compares the records with what they were, once an offer of a
// move that is no more has been struck out.
func sameButForStamps(t *testing.T, c *Coordinator, before readings) {
	t.Helper()
	redistest.Eventually(t, 10*time.Second, func() error {
		now, err := c.readings(t.Context())
		if err != nil {
			return err
		}
		for _, side := range protocol.Sides {
			got, want := now[side].Record, before[side].Record
			got.Epoch, got.Writer, got.Nonce = want.Epoch, want.Writer, want.Nonce
			if !reflect.DeepEqual(got, want) {
				return fmt.Errorf("%v: got %+v; want %+v", side, got, want)
			}
		}
		return nil
	})
}
