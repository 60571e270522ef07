package pubsub

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/gorilla/websocket"
	"github.com/redis/go-redis/v9"
)

// A fix is what a vehicle publishes: its number, and when, on this process's clock.
type fix struct {
	N    int     `json:"n"`
	Sent int64   `json:"sent"`
	Lat  float64 `json:"lat"`
	Lon  float64 `json:"lon"`
}

// A vehicle publishes to a topic of its own, or all to one.
type vehicle struct {
	topic, key string
	latest     bool

	mu    sync.Mutex
	tried int
	acked int          // the last that was acknowledged
	first time.Time    // when one was acknowledged that began after the fault
	sure  map[int]bool // confirmed by a replica
}

// A fleet is vehicles that publish, and instances that serve clients.
type fleet struct {
	t        *testing.T
	sites    []*site
	vehicles []*vehicle
	watchers []*watcher
	began    time.Time
	delays   *delays
	refused  atomic.Int64 // publishes that had no answer in time
	hurt     atomic.Bool  // the server was
}

// delays are of what arrived, from publishing to the client.
type delays struct {
	mu sync.Mutex
	h  *hdrhistogram.Histogram
}

func newDelays() *delays { return &delays{h: hdrhistogram.New(1, 120_000_000, 3)} }

func (d *delays) add(list []time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, v := range list {
		_ = d.h.RecordValue(max(v.Microseconds(), 1))
	}
}

// take returns a line on what has come since, and begins anew.
func (d *delays) take() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	at := func(q float64) time.Duration {
		return (time.Duration(d.h.ValueAtQuantile(q)) * time.Microsecond).Round(100 * time.Microsecond)
	}
	line := fmt.Sprintf("%d messages came, p50 %v, p99 %v, longest %v", d.h.TotalCount(), at(50), at(99), at(100))
	d.h.Reset()
	return line
}

// loadTopics are half of the vehicles' each.
func loadTopics() []Topic {
	return []Topic{
		{Prefix: "pos:", Delivery: Latest},
		{Prefix: "track:", Delivery: Recoverable, Confirm: time.Second, History: 64},
	}
}

// newFleet starts an instance for each client.
func newFleet(t *testing.T, vehicles int, clients ...redis.UniversalClient) *fleet {
	t.Helper()
	f := &fleet{t: t, began: time.Now(), delays: newDelays()}
	for _, c := range clients {
		h, err := New(c, loadTopics(), Options{Wait: within})
		must(t, err)
		run(t, h)
		f.sites = append(f.sites, serve(t, h, func(o *Sockets) { o.MaxPerUser = 1_000_000 }))
	}
	for i := range vehicles {
		v := &vehicle{topic: fmt.Sprintf("track:v%d", i), sure: map[int]bool{}}
		if i%2 == 0 {
			v.topic, v.key, v.latest = fmt.Sprintf("pos:v%d", i), "position", true
		}
		f.vehicles = append(f.vehicles, v)
	}
	return f
}

// drive has every vehicle publish twice a second until it is stopped.
func (f *fleet) drive() (stop func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	for i, v := range f.vehicles {
		h := f.sites[i%len(f.sites)].h
		wg.Go(func() {
			if !wait(done, rand.N(500*time.Millisecond)) {
				return
			}
			for began := time.Now(); ; began = time.Now() {
				f.publish(h, v)
				if !wait(done, 500*time.Millisecond-time.Since(began)) {
					return
				}
			}
		})
	}
	return func() { close(done); wg.Wait() }
}

func wait(done <-chan struct{}, d time.Duration) bool {
	select {
	case <-done:
		return false
	case <-time.After(max(d, 0)):
		return true
	}
}

func (f *fleet) publish(h *Hub, v *vehicle) {
	v.mu.Lock()
	v.tried++
	n := v.tried
	v.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	hurt := f.hurt.Load()
	r, err := h.Publish(ctx, v.topic, v.key, fix{n, int64(time.Since(f.began)), 52.1, 4.3})
	if err != nil {
		f.refused.Add(1)
		if !errors.Is(err, ErrUnavailable) {
			f.t.Errorf("publish: %v", err)
		}
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.acked = n
	if hurt && v.first.IsZero() {
		v.first = time.Now()
	}
	if r.Confirmed {
		v.sure[n] = true
	}
}

// A seen is what a watcher has seen of a vehicle.
type seen struct {
	last  int
	gap   bool
	got   map[int]bool // of tracks
	wrong []string
	gaps  int
	lost  []int // skipped, and told
}

// A watcher is a client in a browser, as far as it matters.
type watcher struct {
	f      *fleet
	ws     *websocket.Conn
	mu     sync.Mutex
	seen   map[string]*seen // by topic and key
	states []string
}

// watch connects n clients, each of which follows some vehicles.
func (f *fleet) watch(n int, follow func() []*vehicle) {
	f.t.Helper()
	var wg sync.WaitGroup
	slots := make(chan struct{}, 32)
	var mu sync.Mutex
	for i := range n {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			ws, _, err := f.sites[i%len(f.sites)].dial()
			if err != nil {
				f.t.Errorf("dial: %v", err)
				return
			}
			w := &watcher{f: f, ws: ws, seen: map[string]*seen{}}
			topics := map[string]bool{}
			for _, v := range follow() {
				w.seen[v.topic+v.key] = &seen{got: map[int]bool{}}
				topics[v.topic] = true
			}
			for topic := range topics {
				if err := ws.WriteJSON(map[string]string{"subscribe": topic}); err != nil {
					f.t.Errorf("subscribe: %v", err)
				}
			}
			mu.Lock()
			f.watchers = append(f.watchers, w)
			mu.Unlock()
		})
	}
	wg.Wait()
	var readers sync.WaitGroup
	for _, w := range f.watchers {
		readers.Go(w.read)
	}
	f.t.Cleanup(func() {
		for _, w := range f.watchers {
			_ = w.ws.Close()
		}
		readers.Wait()
	})
}

func (w *watcher) read() {
	for {
		_, text, err := w.ws.ReadMessage()
		if err != nil {
			return
		}
		list, err := readWires(text)
		if err != nil {
			w.f.t.Errorf("%v", err)
			return
		}
		now := time.Since(w.f.began)
		var took []time.Duration
		w.mu.Lock()
		for _, e := range list {
			if d, ok := w.take(e, now); ok {
				took = append(took, d)
			}
		}
		w.mu.Unlock()
		w.f.delays.add(took)
	}
}

// readWires reads what a socket got. Two thousand clients in one process with what they
// test must be cheap, so that messages are taken apart by hand.
func readWires(text []byte) (list []wire, err error) {
	if bytes.Contains(text, []byte(`"event"`)) {
		return list, json.Unmarshal(text, &list)
	}
	for part := range bytes.SplitSeq(text, []byte(`{"topic":"`)) {
		topic, rest, ok := bytes.Cut(part, []byte(`"`))
		if !ok {
			continue
		}
		e := wire{Topic: string(topic)}
		if _, after, ok := bytes.Cut(rest, []byte(`"key":"`)); ok {
			key, after, _ := bytes.Cut(after, []byte(`"`))
			e.Key, rest = string(key), after
		}
		_, data, ok := bytes.Cut(rest, []byte(`"data":`))
		if !ok {
			return nil, fmt.Errorf("a message without data: %s", part)
		}
		e.Data = data
		list = append(list, e)
	}
	return list, nil
}

// number reads a number of a fix.
func number(data []byte, name string) (n int64) {
	_, rest, _ := bytes.Cut(data, []byte(name))
	for _, c := range rest {
		if c < '0' || c > '9' {
			break
		}
		n = 10*n + int64(c-'0')
	}
	return n
}

// take notes an event. mu is held.
func (w *watcher) take(e wire, now time.Duration) (took time.Duration, ok bool) {
	switch e.Event {
	case evDegraded, evLive, evDenied:
		w.states = append(w.states, e.Event)
		return 0, false
	case evGap, evSnapshot:
		if s := w.seen[e.Topic+e.Key]; s != nil {
			s.gap = true
			s.gaps++
		}
		return 0, false
	case "":
	default:
		return 0, false
	}
	s := w.seen[e.Topic+e.Key]
	if s == nil {
		return 0, false
	}
	v := fix{N: int(number(e.Data, `"n":`)), Sent: number(e.Data, `"sent":`)}
	track := e.Key == ""
	switch {
	case track && s.got[v.N]:
		s.wrong = append(s.wrong, fmt.Sprintf("%d came twice", v.N))
	case track && v.N < s.last:
		s.wrong = append(s.wrong, fmt.Sprintf("%d came after %d", v.N, s.last))
	case track && s.last > 0 && v.N > s.last+1:
		for n := s.last + 1; n < v.N; n++ {
			s.lost = append(s.lost, n)
		}
		if !s.gap {
			s.wrong = append(s.wrong, fmt.Sprintf("%d came after %d, and no gap was told", v.N, s.last))
		}
	}
	if track {
		s.got[v.N] = true
	}
	s.last, s.gap = v.N, false
	return now - time.Duration(v.Sent), true
}

// judge compares what every watcher has seen with what was published.
func (f *fleet) judge() {
	t := f.t
	t.Helper()
	byName := map[string]*vehicle{}
	var confirmed, tried int
	for _, v := range f.vehicles {
		byName[v.topic+v.key] = v
		confirmed += len(v.sure)
		tried += v.tried
	}
	var came, gaps, lost, degraded int
	for _, w := range f.watchers {
		w.mu.Lock()
		for _, s := range w.states {
			if s == evDegraded {
				degraded++
				break
			}
		}
		for name, s := range w.seen {
			v := byName[name]
			gaps += s.gaps
			came += len(s.got)
			for _, what := range s.wrong {
				t.Errorf("%s: %s", name, what)
			}
			for _, n := range s.lost {
				if v.sure[n] {
					t.Errorf("%s: %d did not come, which a replica had confirmed", name, n)
				}
				lost++
			}
			if s.last < v.acked {
				t.Errorf("%s: the last that came is %d; want %d", name, s.last, v.acked)
			}
		}
		w.mu.Unlock()
	}
	t.Logf("%d published by %d vehicles, %d of them confirmed by a replica, %d without an answer in time", tried, len(f.vehicles), confirmed, f.refused.Load())
	t.Logf("%d clients: %d messages of tracks came, 0 twice; %d that nobody had confirmed did not come; %d snapshots and gaps told; %d clients were told of an outage",
		len(f.watchers), came, lost, gaps, degraded)
}

// settled waits until every watcher has the last fix of each vehicle, and returns how
// long that took.
func (f *fleet) settled(limit time.Duration) (time.Duration, error) {
	began := time.Now()
	for {
		err := f.lacking()
		if took := time.Since(began); err == nil || took > limit {
			return took, err
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (f *fleet) lacking() error {
	want := map[string]int{}
	for _, v := range f.vehicles {
		v.mu.Lock()
		want[v.topic+v.key] = v.acked
		v.mu.Unlock()
	}
	return f.behind(want)
}

// behind says who shows something older than wanted.
func (f *fleet) behind(want map[string]int) error {
	for _, w := range f.watchers {
		w.mu.Lock()
		for name, s := range w.seen {
			if n, ok := want[name]; ok && s.last < n {
				w.mu.Unlock()
				return fmt.Errorf("%s: a client shows %d; want %d", name, s.last, n)
			}
		}
		w.mu.Unlock()
	}
	return nil
}
