package sockets_test

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/transload/transload/internal/redisproc"
	"github.com/transload/transload/internal/redistest"
)

// TestKillIsFinal kills connections that stream writes as fast as they can, with
// many unexecuted ones on the way, and looks whether a single one is executed
// after the kill was answered.
func TestKillIsFinal(t *testing.T) {
	t.Parallel()
	for name, burden := range map[string][]string{
		"streaming":      nil,
		"busy script":    {"EVAL", busy, "0", "10"},
		"server sleeps":  {"DEBUG", "SLEEP", "0.01"},
		"behind a pause": {"CLIENT", "PAUSE", "60000", "WRITE"},
	} {
		t.Run(name, func(t *testing.T) {
			ways(t, redistest.Options{}, func(t *testing.T, w way) { killStreams(t, w, burden) })
		})
	}
	t.Run("io threads", func(t *testing.T) {
		o := redistest.Options{Args: []string{"--io-threads", "4", "--io-threads-do-reads", "yes"}}
		ways(t, o, func(t *testing.T, w way) { killStreams(t, w, nil) })
	})
}

func killStreams(t *testing.T, w way, burden []string) {
	const n = 8
	ctl := redistest.Conn(t, w.server)
	loaded := redistest.Conn(t, w.server)
	ids := make([]int64, n)
	var streams, load sync.WaitGroup
	for i := range n {
		c := w.open(t)
		ids[i] = id(t, c)
		streams.Go(func() { stream(c, key(i)) })
	}
	for i := range n {
		redistest.Eventually(t, 10*time.Second, func() error {
			if get(t, ctl, key(i)) == "" {
				return fmt.Errorf("stream %d has not begun", i)
			}
			return nil
		})
	}
	stop := make(chan struct{})
	if burden != nil {
		load.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(time.Millisecond):
				}
				if _, err := loaded.Do(t.Context(), burden...); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	atKill := make([]string, n)
	for i := range n {
		var killed bool
		if killed, atKill[i] = kill(t, ctl, ids[i], key(i)); !killed {
			t.Errorf("stream %d: kill by id found nobody", i)
		}
	}
	streams.Wait()
	close(stop)
	load.Wait()
	do(t, ctl, "CLIENT", "UNPAUSE")
	for i := range n {
		if got := get(t, ctl, key(i)); got != atKill[i] {
			t.Errorf("stream %d: got %s at the kill and %s later; want nothing executed after the kill", i, atKill[i], got)
		}
	}
}

// stream sends INCR without waiting for replies until the connection is dead, but
// keeps no more than some ten thousand of them unanswered: a server that is paused
// goes on reading, and would spend seconds on working off a hundred megabytes.
func stream(c *redisproc.Conn, key string) {
	const most, piece = 10_000, 200
	var answered atomic.Int64
	dead := make(chan struct{})
	go func() { // ends with the connection, and stream waits for it
		defer close(dead)
		buf := make([]byte, 64<<10)
		for {
			n, err := c.Read(buf)
			answered.Add(int64(bytes.Count(buf[:n], []byte("\n"))))
			if err != nil {
				return
			}
		}
	}()
	chunk := strings.Repeat(redisproc.Command("INCR", key), piece)
	for sent := int64(0); ; sent += piece {
		for sent-answered.Load() > most {
			select {
			case <-dead:
				return
			case <-time.After(time.Millisecond):
			}
		}
		if _, err := io.WriteString(c.Conn, chunk); err != nil {
			<-dead
			return
		}
	}
}

func key(i int) string { return fmt.Sprintf("k:%d", i) }

// TestKillLosesTheRest kills connections whose last command the server has only in
// part, or has put aside.
func TestKillLosesTheRest(t *testing.T) {
	t.Parallel()
	ways(t, redistest.Options{}, func(t *testing.T, w way) {
		ctl := redistest.Conn(t, w.server)

		t.Run("half a command", func(t *testing.T) {
			c := w.open(t)
			me := id(t, c)
			whole := redisproc.Command("INCR", "half")
			if _, err := io.WriteString(c, whole[:len(whole)/2]); err != nil {
				t.Fatal(err)
			}
			redistest.Eventually(t, 10*time.Second, func() error {
				if got := clients(t, ctl)[me]["qbuf"]; got == "0" {
					return fmt.Errorf("the server has not read the half; qbuf=%s", got)
				}
				return nil
			})
			if killed, _ := kill(t, ctl, me, "half"); !killed {
				t.Error("kill by id found nobody")
			}
			_, _ = io.WriteString(c, whole[len(whole)/2:])
			if !isDead(c) {
				t.Error("the connection lives")
			}
			wantNothing(t, ctl, "half")
		})

		t.Run("MULTI before EXEC", func(t *testing.T) {
			c := w.open(t)
			me := id(t, c)
			do(t, c, "MULTI")
			do(t, c, "INCR", "multi")
			if killed, _ := kill(t, ctl, me, "multi"); !killed {
				t.Error("kill by id found nobody")
			}
			_ = c.Send("EXEC")
			if !isDead(c) {
				t.Error("the connection lives")
			}
			wantNothing(t, ctl, "multi")
		})

		t.Run("blocked BLMOVE", func(t *testing.T) {
			for i, push := range []string{"after the kill", "with the kill"} {
				from, to := fmt.Sprintf("{b%d}from", i), fmt.Sprintf("{b%d}to", i)
				c := w.open(t)
				me := id(t, c)
				if err := c.Send("BLMOVE", from, to, "LEFT", "RIGHT", "0"); err != nil {
					t.Fatal(err)
				}
				redistest.Eventually(t, 10*time.Second, func() error {
					if got := clients(t, ctl)[me]["flags"]; got != "b" {
						return fmt.Errorf("not blocked yet: flags=%s", got)
					}
					return nil
				})
				do(t, ctl, "MULTI")
				if push == "with the kill" {
					do(t, ctl, "RPUSH", from, "x")
				}
				do(t, ctl, "CLIENT", "KILL", "ID", fmt.Sprint(me))
				if got, _ := do(t, ctl, "EXEC").([]any); got[len(got)-1] != int64(1) {
					t.Errorf("%s: kill by id found nobody", push)
				}
				if push == "after the kill" {
					do(t, ctl, "RPUSH", from, "x")
				}
				if !isDead(c) {
					t.Error("the connection lives")
				}
				if got := do(t, ctl, "LLEN", from); got != int64(1) {
					t.Errorf("%s: got %v elements left; want 1", push, got)
				}
				wantNothing(t, ctl, to)
			}
		})

		t.Run("client gone, bytes in the kernel", func(t *testing.T) { killBytesInTheKernel(t, w, ctl) })
	})
}

// killBytesInTheKernel has a client write and go while the server is busy, so
// that the server has read none of it when the kill comes: the kill follows the
// busy script in one packet. (Now and then the write is quicker than the packet;
// it is then executed before the kill, which says nothing.)
func killBytesInTheKernel(t *testing.T, w way, ctl *redisproc.Conn) {
	const rounds = 10
	unexecuted := 0
	for i := range rounds {
		k := fmt.Sprintf("kernel:%d", i)
		c := w.open(t)
		me := fmt.Sprint(id(t, c))
		send(t, ctl, []string{"EVAL", busy, "0", "20"}, []string{"MULTI"}, []string{"CLIENT", "KILL", "ID", me}, []string{"GET", k}, []string{"EXEC"})
		if err := c.Send("INCR", k); err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
		for range 4 { // of the script, MULTI and two QUEUED
			receive(t, ctl)
		}
		reply, _ := receive(t, ctl).([]any)
		if len(reply) != 2 || reply[0] != int64(1) {
			t.Fatalf("kill by id: got %v; want 1", reply)
		}
		if reply[1] == nil {
			unexecuted++
			wantNothing(t, ctl, k)
		}
	}
	if unexecuted == 0 {
		t.Errorf("in each of %d rounds the write was executed before the kill; want one at least that was not", rounds)
	}

	// Without a kill the bytes outlive their client, however long it is gone.
	c := w.open(t)
	id(t, c)
	send(t, ctl, []string{"EVAL", busy, "0", "20"})
	if err := c.Send("INCR", "kernel"); err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	receive(t, ctl)
	redistest.Eventually(t, 10*time.Second, func() error {
		if got := get(t, ctl, "kernel"); got != "1" {
			return fmt.Errorf("got %q; want 1", got)
		}
		return nil
	})
}

// wantNothing checks that a key does not exist, nor comes into being while the
// server works off whatever it still has: three replies and a pause of its own.
func wantNothing(t *testing.T, c *redisproc.Conn, key string) {
	t.Helper()
	for range 3 {
		do(t, c, "DEBUG", "SLEEP", "0.001")
		if got := do(t, c, "EXISTS", key); got != int64(0) {
			t.Errorf("%s exists; want that the command was never executed", key)
		}
	}
}
