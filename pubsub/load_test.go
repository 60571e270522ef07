package pubsub

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/contract"
	"github.com/transload/transload/internal/redisproc"
	"github.com/transload/transload/internal/redistest"
)

const (
	loadVehicles  = 500
	loadInstances = 3
	loadPause     = 5 * time.Second // between two events

	// returned is within what every client shows the right position once Redis is back.
	returned = time.Second
)

// loadWatchers are the clients. Servers, instances and clients share a machine, and
// 20,000 messages a second take a processor of their own: CLIENTS says how many there
// are where there is less.
func loadWatchers(t *testing.T) int {
	t.Helper()
	text := os.Getenv("CLIENTS")
	if text == "" {
		return 2000
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("CLIENTS: %q is no number of clients", text)
	}
	return n
}

// TestLoad has clients watch vehicles through all that a Redis goes through. `make
// load W=pubsub` runs it.
func TestLoad(t *testing.T) {
	if os.Getenv("LOAD") == "" {
		t.Skip("a load: LOAD=1 runs it")
	}
	t.Run("memory", loadMemory)
	t.Run("migration and back", loadMigration)
	t.Run("kill -9 of the primary", func(t *testing.T) { loadFault(t, (*redisproc.Server).Kill) })
	t.Run("SIGSTOP of the primary", func(t *testing.T) { loadFault(t, (*redisproc.Server).Freeze) })
	t.Run("one topic to all", loadOne)
}

// five are what a client follows.
func (f *fleet) five() (list []*vehicle) {
	for _, i := range rand.Perm(len(f.vehicles))[:5] {
		list = append(list, f.vehicles[i])
	}
	return list
}

func loadMigration(t *testing.T) {
	m := contract.Begin(t, loadInstances, contract.Config(t, redistest.Standalone(t, redistest.Options{})), contract.Config(t, redistest.Sentinel(t, redistest.Options{})))
	var members []redis.UniversalClient
	for _, c := range m.Members {
		members = append(members, c)
	}
	f := newFleet(t, loadVehicles, members...)
	f.watch(loadWatchers(t), f.five)
	stop := f.drive()
	time.Sleep(loadPause)
	t.Log("off: ", f.delays.take())
	m.Shadow(t)
	time.Sleep(loadPause)
	t.Log("shadow: ", f.delays.take())
	for _, percent := range []int{10, 50, 100} {
		m.Cutover(t, percent)
		time.Sleep(loadPause)
		t.Logf("cutover to %d %%: %s", percent, f.delays.take())
	}
	m.Rollback(t)
	time.Sleep(loadPause)
	t.Log("rollback: ", f.delays.take())
	m.Cutover(t, 100)
	m.Finish(t)
	time.Sleep(loadPause)
	t.Log("cutover again and done: ", f.delays.take())
	stop()
	took, err := f.settled(within)
	t.Logf("all that was published had come %v later: %v", took.Round(time.Millisecond), err)
	f.judge()
	for _, w := range f.watchers {
		for name, s := range w.seen {
			if s.gaps > 1 || s.gaps > 0 && strings.HasPrefix(name, "track:") {
				t.Errorf("%s: %d gaps were told; want none: a migration loses nothing", name, s.gaps)
			}
		}
	}
}

// loadFault hurts the primary of a Sentinel set.
func loadFault(t *testing.T, fault func(*redisproc.Server) error) {
	set := redistest.Sentinel(t, redistest.Options{})
	f := newFleet(t, loadVehicles, open(t, set), open(t, set), open(t, set))
	f.watch(loadWatchers(t), f.five)
	plain := newPlainChannel(t, set)
	stop := f.drive()
	time.Sleep(loadPause)
	t.Log("before: ", f.delays.take())
	must(t, fault(set.Primaries(t.Context())[0]))
	f.hurt.Store(true)
	hurt := time.Now()
	back := f.awaitReturn()
	want := f.atReturn()
	t.Logf("Redis was back after %v", back.Sub(hurt).Round(time.Millisecond))
	for f.behind(want) != nil && time.Since(back) < within {
		time.Sleep(5 * time.Millisecond)
	}
	right := time.Since(back)
	t.Logf("every client showed the right positions %v after that", right.Round(time.Millisecond))
	if err := f.behind(want); err != nil || right > returned {
		t.Errorf("got %v, %v; want the right positions within %v", right, err, returned)
	}
	time.Sleep(loadPause)
	t.Log("the outage and after: ", f.delays.take())
	time.Sleep(loadPause)
	t.Log("then: ", f.delays.take())
	stop()
	if _, err := f.settled(within); err != nil {
		t.Error(err)
	}
	f.judge()
	plain.tell(hurt)
}

// awaitReturn waits until a publish that began after the fault is acknowledged.
func (f *fleet) awaitReturn() time.Time {
	for {
		for _, v := range f.vehicles {
			v.mu.Lock()
			first := v.first
			v.mu.Unlock()
			if !first.IsZero() {
				return first
			}
		}
		time.Sleep(time.Millisecond)
	}
}

// atReturn is which fix of each position Redis has now.
func (f *fleet) atReturn() map[string]int {
	want := map[string]int{}
	for _, v := range f.vehicles {
		v.mu.Lock()
		if v.latest {
			want[v.topic+v.key] = v.acked
		}
		v.mu.Unlock()
	}
	return want
}

// A plainChannel is go-redis's own way to subscribe, beside.
type plainChannel struct {
	t    *testing.T
	last chan time.Time
}

func newPlainChannel(t *testing.T, set *redisproc.Set) *plainChannel {
	var addrs []string
	for _, s := range set.Sentinels {
		addrs = append(addrs, s.Addr())
	}
	c := redis.NewFailoverClient(&redis.FailoverOptions{MasterName: redisproc.DefaultMaster, SentinelAddrs: addrs})
	ps := c.Subscribe(t.Context(), "plain")
	p := &plainChannel{t: t, last: make(chan time.Time, 1)}
	p.last <- time.Now()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for range ps.Channel() {
			<-p.last
			p.last <- time.Now()
		}
	}()
	to := open(t, set)
	done := make(chan struct{})
	t.Cleanup(func() { close(done); _ = ps.Close(); <-ended; _ = c.Close() })
	go func() { // ends with the test
		for wait(done, 50*time.Millisecond) {
			_ = to.Publish(t.Context(), "plain", "x").Err()
		}
	}()
	return p
}

// tell says when go-redis's channel has heard something again, within a minute.
func (p *plainChannel) tell(hurt time.Time) {
	for {
		last := <-p.last
		p.last <- last
		switch {
		case last.After(hurt.Add(time.Second)):
			p.t.Logf("go-redis's Channel() heard again after %v at the latest", last.Sub(hurt).Round(time.Millisecond))
			return
		case time.Since(hurt) > time.Minute:
			p.t.Logf("go-redis's Channel() heard nothing for %v, and still does not", time.Since(last).Round(time.Second))
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// loadOne has all vehicles in one topic, which all clients follow.
func loadOne(t *testing.T) {
	set := redistest.Sentinel(t, redistest.Options{})
	f := newFleet(t, loadVehicles, open(t, set), open(t, set), open(t, set))
	for i, v := range f.vehicles {
		v.topic, v.key, v.latest = "pos:all", fmt.Sprint("v", i), true
	}
	f.watch(loadWatchers(t), func() []*vehicle { return f.vehicles })
	stop := f.drive()
	time.Sleep(3 * loadPause)
	t.Log("one topic: ", f.delays.take())
	stop()
	took, err := f.settled(within)
	t.Logf("every client showed the last position of each vehicle %v after the last was published: %v", took.Round(time.Millisecond), err)
	if err != nil {
		t.Error(err)
	}
}

// loadMemory counts what a connection costs the server: the clients are bare sockets.
func loadMemory(t *testing.T) {
	h := hubOn(t, open(t, redistest.SharedStandalone(t)), loadTopics())
	w := serve(t, h)
	used := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapInuse + m.StackInuse
	}
	const n = 2000
	for range 50 { // what is made once is there
		bare(t, w)
	}
	time.Sleep(time.Second)
	before := used()
	for range n {
		bare(t, w)
	}
	time.Sleep(time.Second)
	t.Logf("%d bytes a connection that follows 5 topics, with its goroutines and the client's end", (used()-before)/n)
}

func bare(t *testing.T, w *site) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(w.url, "ws://"))
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	_, err = fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	must(t, err)
	resp, err := http.ReadResponse(bufio.NewReaderSize(conn, 512), nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatal(errors.Join(err, errors.New("no upgrade")))
	}
	for i := range 5 {
		text := fmt.Sprintf(`{"subscribe":"pos:v%d"}`, i)
		_, err := conn.Write(append([]byte{0x81, 0x80 | byte(len(text)), 0, 0, 0, 0}, text...)) // a masked text frame
		must(t, err)
	}
}
