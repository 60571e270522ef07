package sockets_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/redisproc"
	"github.com/transload/transload/internal/redistest"
)

// pair starts a primary and its replica, attached and up to date.
func pair(t *testing.T) (primary, replica *redisproc.Server) {
	t.Helper()
	primary = redistest.Standalone(t, redistest.Options{})
	replica = redistest.Standalone(t, redistest.Options{})
	host, port, _ := strings.Cut(primary.Addr(), ":")
	redistest.Do(t, replica, "REPLICAOF", host, port)
	redistest.Eventually(t, 10*time.Second, func() error {
		role, _ := redistest.Do(t, primary, "ROLE").([]any)
		if replicas, _ := role[2].([]any); len(replicas) != 1 {
			return fmt.Errorf("primary: got %v; want one replica", role)
		}
		c := redistest.Conn(t, primary)
		defer c.Close()
		do(t, c, "SET", "attached", "1")
		if got := do(t, c, "WAIT", "1", "1000"); got != int64(1) {
			return fmt.Errorf("WAIT: got %v; want 1", got)
		}
		return nil
	})
	return primary, replica
}

// behind starts a pair whose replica is frozen, with a write that it lacks.
func behind(t *testing.T) (primary, replica *redisproc.Server, writer *redisproc.Conn) {
	t.Helper()
	primary, replica = pair(t)
	writer = redistest.Conn(t, primary)
	if err := replica.Freeze(); err != nil {
		t.Fatal(err)
	}
	do(t, writer, "SET", "lacking", "1")
	return primary, replica, writer
}

const (
	shortly   = 100 * time.Millisecond // a WAIT that ought to run out
	patiently = "10000"                // one that ought to be answered, in milliseconds
)

// waits sends WAIT 1 with a short limit, and checks that it ran out.
func waits(t *testing.T, c *redisproc.Conn) {
	t.Helper()
	began := time.Now()
	got := do(t, c, "WAIT", "1", fmt.Sprint(shortly.Milliseconds()))
	if took := time.Since(began); got != int64(0) || took < shortly-tick {
		t.Errorf("WAIT: got %v after %v; want 0 after %v", got, took, shortly)
	}
}

// TestWaitCoversOwnWrites is what WAIT is documented for.
func TestWaitCoversOwnWrites(t *testing.T) {
	t.Parallel()
	_, replica, writer := behind(t)
	waits(t, writer)
	if err := replica.Thaw(); err != nil {
		t.Fatal(err)
	}
	if got := do(t, writer, "WAIT", "1", patiently); got != int64(1) {
		t.Errorf("got %v; want 1", got)
	}
}

// TestWaitOnASilentConnectionSaysNothing: a connection that has sent nothing is
// told that all is well, though a replica lacks what others wrote.
func TestWaitOnASilentConnectionSaysNothing(t *testing.T) {
	t.Parallel()
	primary, _, _ := behind(t)
	c := redistest.Conn(t, primary) // no password: Dial has sent nothing
	if got := do(t, c, "WAIT", "1", patiently); got != int64(1) {
		t.Errorf("got %v; want 1, untrue as it is", got)
	}
}

// TestWaitCoversWhatWasReadBefore: any command, a read too, moves what the next
// WAIT on that connection covers up to all that was written before it. So who
// reads a record and WAITs knows that the record is on the replicas.
func TestWaitCoversWhatWasReadBefore(t *testing.T) {
	t.Parallel()
	for name, command := range map[string][]string{
		"PING":             {"PING"},
		"GET":              {"GET", "lacking"},
		"read-only script": {"EVAL_RO", "return redis.call('GET', KEYS[1])", "1", "lacking"},
		"HELLO":            {"HELLO", "2"}, // a pooled connection's handshake
	} {
		t.Run(name, func(t *testing.T) {
			primary, replica, _ := behind(t)
			c := redistest.Conn(t, primary)
			do(t, c, command...)
			waits(t, c)
			if err := replica.Thaw(); err != nil {
				t.Fatal(err)
			}
			if got := do(t, c, "WAIT", "1", patiently); got != int64(1) {
				t.Errorf("got %v; want 1", got)
			}
		})
	}
}

// TestWaitOnAnIdleConnectionIsOld: a connection that was used before another one
// wrote is told that all is well, up to its own last command.
func TestWaitOnAnIdleConnectionIsOld(t *testing.T) {
	t.Parallel()
	primary, replica := pair(t)
	idle, writer := redistest.Conn(t, primary), redistest.Conn(t, primary)
	do(t, idle, "PING")
	do(t, writer, "SET", "k", "1")
	if got := do(t, writer, "WAIT", "1", patiently); got != int64(1) {
		t.Fatalf("got %v; want 1", got)
	}
	if err := replica.Freeze(); err != nil {
		t.Fatal(err)
	}
	do(t, writer, "SET", "k", "2")
	if got := do(t, idle, "WAIT", "1", patiently); got != int64(1) {
		t.Errorf("got %v; want 1, untrue of the other connection's write", got)
	}
	waits(t, writer)
}

// TestWaitInsideSomethingElse: in a transaction WAIT does not wait, in a script it
// is refused.
func TestWaitInsideSomethingElse(t *testing.T) {
	t.Parallel()
	_, _, c := behind(t)
	do(t, c, "MULTI")
	do(t, c, "SET", "k", "1")
	do(t, c, "WAIT", "1", "0") // for ever, were it to wait
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	if got, _ := do(t, c, "EXEC").([]any); len(got) != 2 || got[1] != int64(0) {
		t.Errorf("MULTI: got %v; want 0 at once", got)
	}
	if v, err := c.Do(t.Context(), "EVAL", "return redis.call('WAIT', 1, 100)", "0"); err == nil {
		t.Errorf("EVAL: got %v; want an error", v)
	}
}

// TestWaitBehindAScriptInOneWrite: script and WAIT may go in one packet.
func TestWaitBehindAScriptInOneWrite(t *testing.T) {
	t.Parallel()
	primary, replica := pair(t)
	c := redistest.Conn(t, primary)
	script := []string{"EVAL", "return redis.call('INCR', KEYS[1])", "1", "k"}
	send(t, c, script, []string{"WAIT", "1", patiently})
	if n, acked := receive(t, c), receive(t, c); n != int64(1) || acked != int64(1) {
		t.Errorf("got %v, WAIT %v; want 1, 1", n, acked)
	}
	if err := replica.Freeze(); err != nil {
		t.Fatal(err)
	}
	send(t, c, script, []string{"WAIT", "1", fmt.Sprint(shortly.Milliseconds())})
	if n, acked := receive(t, c), receive(t, c); n != int64(2) || acked != int64(0) {
		t.Errorf("replica frozen: got %v, WAIT %v; want 2, 0", n, acked)
	}
}

// TestWaitWithoutReplicas: one replica is waited for in vain, none is not.
func TestWaitWithoutReplicas(t *testing.T) {
	t.Parallel()
	c := redistest.Conn(t, redistest.Standalone(t, redistest.Options{}))
	do(t, c, "SET", "k", "1")
	waits(t, c)
	if got := do(t, c, "WAIT", "0", "0"); got != int64(0) {
		t.Errorf("WAIT 0: got %v; want 0 at once", got)
	}
}

// TestWaitOnACluster: WAIT counts the replicas of the node that it is sent to, so
// a connection of the node that owns the key is needed.
func TestWaitOnACluster(t *testing.T) {
	t.Parallel()
	s := redistest.SharedCluster(t)
	cc := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{s.Nodes[0].Addr()}})
	defer cc.Close()
	for i := range 9 {
		k := fmt.Sprintf("wait:{%d}", i)
		node, err := cc.MasterForKey(t.Context(), k)
		if err != nil {
			t.Fatal(err)
		}
		cn := node.Conn()
		if err := cn.Set(t.Context(), k, i, 0).Err(); err != nil {
			t.Error(err)
		}
		if n, err := cn.Wait(t.Context(), 1, 10*time.Second).Result(); n != 1 || err != nil {
			t.Errorf("%s: got %d, %v; want 1", k, n, err)
		}
		_ = cn.Close()
	}
}

// TestPinnedConnectionDoesNotComeBack: go-redis's Conn, once killed, gives errors
// and never another connection. So a WAIT on it is on the connection that wrote.
func TestPinnedConnectionDoesNotComeBack(t *testing.T) {
	t.Parallel()
	s := redistest.Standalone(t, redistest.Options{})
	c := redistest.Client(t, s)
	cn := c.Conn()
	defer cn.Close()
	me, err := cn.ClientID(t.Context()).Result()
	if err != nil {
		t.Fatal(err)
	}
	redistest.Do(t, s, "CLIENT", "KILL", "ID", fmt.Sprint(me))
	for i := range 3 {
		if v, err := cn.Incr(t.Context(), "k").Result(); err == nil || errors.Is(err, redis.Nil) {
			t.Errorf("try %d: got %d; want an error", i, v)
		}
	}
	if n, _ := c.Exists(t.Context(), "k").Result(); n != 0 {
		t.Error("k exists; want that nothing was executed")
	}
}
