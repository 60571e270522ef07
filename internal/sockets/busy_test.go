package sockets_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/transload/transload/internal/redisproc"
	"github.com/transload/transload/internal/redistest"
)

// TestKillWaitsForTheVictimsScript: a connection whose own script runs is dead
// when the kill is answered, and the script's writes are in by then.
func TestKillWaitsForTheVictimsScript(t *testing.T) {
	t.Parallel()
	ways(t, redistest.Options{}, func(t *testing.T, w way) {
		ctl := redistest.Conn(t, w.server)
		for i := range 3 {
			k := key(i)
			c := w.open(t)
			me := id(t, c)
			if err := c.Send("EVAL", busy, "1", k, "30"); err != nil {
				t.Fatal(err)
			}
			// The killer may be heard before the script: then nothing is executed.
			// Either way the answer leaves nothing open.
			if killed, atKill := kill(t, ctl, me, k); !killed {
				t.Error("kill by id found nobody")
			} else if got := get(t, ctl, k); got != atKill {
				t.Errorf("got %q at the kill and %q later; want no difference", atKill, got)
			}
		}
	})
}

// TestBusyIsNoFence: beyond its threshold a server that runs a script answers BUSY
// to LIST and KILL alike; the script goes on, and writes at its end, even when its
// client has gone. Who is told BUSY must ask again.
func TestBusyIsNoFence(t *testing.T) {
	t.Parallel()
	ways(t, redistest.Options{Args: []string{"--lua-time-limit", "10"}}, func(t *testing.T, w way) {
		ctl := redistest.Conn(t, w.server)
		c := w.open(t)
		me := id(t, c)
		if err := c.Send("EVAL", busy, "1", "late", "400"); err != nil {
			t.Fatal(err)
		}
		redistest.Eventually(t, 10*time.Second, func() error {
			if _, err := ctl.Do(t.Context(), "PING"); !isBusy(err) {
				return fmt.Errorf("PING: got %v; want BUSY", err)
			}
			return nil
		})
		for _, args := range [][]string{{"CLIENT", "LIST"}, {"CLIENT", "KILL", "ID", fmt.Sprint(me)}} {
			if v, err := ctl.Do(t.Context(), args...); !isBusy(err) {
				t.Errorf("%v: got %v, %v; want BUSY", args, v, err)
			}
		}
		_ = c.Close()
		redistest.Eventually(t, 10*time.Second, func() error {
			_, err := ctl.Do(t.Context(), "PING")
			return err
		})
		if got := get(t, ctl, "late"); got != "1" {
			t.Errorf("got %q; want that the script wrote at its end", got)
		}
	})
}

func isBusy(err error) bool {
	re, ok := errors.AsType[redisproc.ReplyError](err)
	return ok && strings.HasPrefix(string(re), "BUSY")
}

// TestFenceUnderPause: a pause of writes does not keep a fence waiting, a pause of
// everything does until it is over.
func TestFenceUnderPause(t *testing.T) {
	t.Parallel()
	for mode, pause := range map[string]time.Duration{"WRITE": time.Minute, "ALL": 300 * time.Millisecond} {
		t.Run(mode, func(t *testing.T) {
			s := redistest.Standalone(t, redistest.Options{})
			ctl, c := redistest.Conn(t, s), redistest.Conn(t, s)
			me := id(t, c)
			began := time.Now()
			do(t, ctl, "CLIENT", "PAUSE", fmt.Sprint(pause.Milliseconds()), mode)
			if _, ok := clients(t, ctl)[me]; !ok {
				t.Error("the listing lacks the connection")
			}
			if got := do(t, ctl, "CLIENT", "KILL", "ID", fmt.Sprint(me)); got != int64(1) {
				t.Errorf("kill by id: got %v; want 1", got)
			}
			took := time.Since(began)
			if waited := took > pause-tick; waited != (mode == "ALL") {
				t.Errorf("took %v of a pause of %v; want that only a pause of everything is waited for", took, pause)
			}
		})
	}
}

// tick is what a server's clock may be off by that counts milliseconds.
const tick = 5 * time.Millisecond
