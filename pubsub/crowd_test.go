package pubsub

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
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
	delays   crowdDelays
	refused  atomic.Int64 // publishes that had no answer in time
	hurt     atomic.Bool  // the server was
}

// delays are of what arrived, from publishing to the client.
type delays struct {
	mu     sync.Mutex
	h      *hdrhistogram.Histogram
	frames int
}

func (d *delays) add(list []time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.frames++
	for _, v := range list {
		_ = d.h.RecordValue(max(v.Microseconds(), 1))
	}
}

// crowdDelays are those of shares of the clients: one lock for all would be a queue.
type crowdDelays []*delays

func newDelays() (all crowdDelays) {
	for range 32 {
		all = append(all, &delays{h: hdrhistogram.New(1, 120_000_000, 3)})
	}
	return all
}

// take returns a line on what has come since, and begins anew.
func (c crowdDelays) take() string {
	sum, frames := hdrhistogram.New(1, 120_000_000, 3), 0
	for _, d := range c {
		d.mu.Lock()
		sum.Merge(d.h)
		d.h.Reset()
		frames, d.frames = frames+d.frames, 0
		d.mu.Unlock()
	}
	at := func(q float64) time.Duration {
		return (time.Duration(sum.ValueAtQuantile(q)) * time.Microsecond).Round(100 * time.Microsecond)
	}
	return fmt.Sprintf("%d messages came in %d frames, p50 %v, p99 %v, longest %v", sum.TotalCount(), frames, at(50), at(99), at(100))
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
			came += s.came
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
