package pubsub

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/redisproc"
	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/topology"
)

// open is the client that an app has.
func open(t testing.TB, s interface {
	Env(string) map[string]string
}) *topology.Client {
	t.Helper()
	cfg, err := topology.FromEnv("REDIS", redistest.Getenv(s.Env("REDIS")))
	if err != nil {
		t.Fatal(err)
	}
	c, err := topology.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// brisk are options for outages.
func brisk(o *Options) { o.Silence = 2 * time.Second; o.Budget, o.Wait = 500*time.Millisecond, within }

// A server that hangs is noticed, clients are told how old what they see is, and when
// it is back they see what was missed, without waiting for anything new.
func TestFrozen(t *testing.T) {
	t.Parallel()
	s := redistest.Standalone(t, redistest.Options{})
	h := hubOn(t, open(t, s), policies(), brisk)
	w := serve(t, h)
	publish(t, h, "pos:a", "truck", 1)
	c := w.open()
	c.follow("pos:a", "")
	c.wants("subscribed", "snapshot", "truck=1")
	must(t, s.Freeze())
	froze := time.Now()
	e := c.next()
	if e.Event != evDegraded || e.Age < h.opt.Silence.Milliseconds()/2 {
		t.Fatalf("got %+v; want degraded, with an age", e)
	}
	t.Logf("told after %v that what is seen is %d ms old", time.Since(froze).Round(time.Millisecond), e.Age)
	late := w.open() // comes meanwhile, and is told too
	late.follow("pos:a", "")
	got := map[string]bool{}
	for len(got) < 4 {
		got[shortWire(late.next())] = true
	}
	for _, want := range []string{"subscribed", "snapshot", "truck=1", "degraded"} {
		if !got[want] {
			t.Errorf("who came meanwhile got %v; want %s among them", got, want)
		}
	}
	if s := h.Health(); !s.Degraded || s.Age < h.opt.Silence/2 {
		t.Errorf("got %+v; want degraded", s)
	}
	must(t, s.Thaw())
	thawed := time.Now()
	for e.Event == evDegraded {
		e = c.next()
	}
	if e.Event != evLive {
		t.Fatalf("got %+v; want live", e)
	}
	t.Logf("live again %v after the server was", time.Since(thawed).Round(time.Millisecond))
	publish(t, h, "pos:a", "truck", 2)
	c.wants("truck=2")
}

// What was published while this process was cut off is there when it is not, as if it
// had been heard; clients see it before they are told that all is well.
func TestCutOff(t *testing.T) {
	t.Parallel()
	s := redistest.SharedStandalone(t)
	proxy := redistest.Proxy(t, s)
	cut := redis.NewClient(&redis.Options{Network: s.Network(), Addr: proxy.Addr(), ContextTimeoutEnabled: true, DisableIdentity: true})
	t.Cleanup(func() { _ = cut.Close() })
	h, far := hubOn(t, cut, policies(), brisk), hubOn(t, open(t, s), policies())
	w := serve(t, h)
	id := newEpoch()
	pos, chat, tick := "pos:"+id, "chat:"+id, "tick:"+id
	publish(t, far, pos, "a", 1)
	publish(t, far, pos, "b", 1)
	c := w.open()
	for _, topic := range []string{pos, chat, tick} {
		c.follow(topic, "")
		c.wants("subscribed")
		if topic == pos {
			c.wants("snapshot", "a=1", "b=1")
		}
	}
	proxy.Stall()
	c.wants("degraded")
	publish(t, far, pos, "a", 2)
	must(t, far.Remove(t.Context(), pos, "b"))
	publish(t, far, chat, "", "one")
	publish(t, far, chat, "", "two")
	publish(t, far, tick, "", "lost")
	proxy.Heal()
	got := map[string]bool{}
	for e := c.next(); e.Event != evLive; e = c.next() {
		if e.Event != evDegraded {
			got[shortWire(e)] = true
		}
	}
	for _, want := range []string{"a=2", "-b", `="one"`, `="two"`} {
		if !got[want] {
			t.Errorf("got %v before live; want %s among them", got, want)
		}
	}
	if got["gap"] == got[`="lost"`] { // the old connection may have brought it at the last moment
		t.Errorf("got %v before live; want a gap, or what would be missing", got)
	}
	if len(got) != 5 {
		t.Errorf("got %v; want no more", got)
	}
}

// A primary is killed under load: what a replica has confirmed arrives once and in
// order, and of anything else a subscriber is told.
func TestFailover(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("needs redis-servers: left out by -short")
	}
	for mode, start := range map[string]func(testing.TB, redistest.Options) *redisproc.Set{"sentinel": redistest.Sentinel, "cluster": redistest.Cluster} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			failover(t, start(t, redistest.Options{}))
		})
	}
}

func failover(t *testing.T, set *redisproc.Set) {
	topics := []Topic{{Prefix: "chat:", Delivery: Recoverable, Confirm: time.Second, History: 10_000}}
	change := brisk
	h, other := hubOn(t, open(t, set), topics, change), hubOn(t, open(t, set), topics, change)
	var judges []*judge
	seen := map[*partition]bool{}
	for i := 0; len(seen) < len(h.parts); i++ { // one in each, so that some are on the primary that is killed
		topic := fmt.Sprint("chat:", i)
		if p := h.partOf(topic); !seen[p] {
			seen[p] = true
			judges = append(judges, newJudge(t, other, topic))
		}
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for _, j := range judges {
		wg.Go(func() { j.publish(h, stop) })
	}
	time.Sleep(500 * time.Millisecond)
	primary := set.Primaries(t.Context())[0]
	must(t, primary.Kill())
	for _, j := range judges { // each goes on
		was := j.count()
		eventually(t, func() error {
			if got := j.count(); got < was+20 {
				return fmt.Errorf("%s: %d published; %d before", j.topic, got, was)
			}
			return nil
		})
	}
	close(stop)
	wg.Wait()
	for _, j := range judges {
		j.verdict()
	}
}

// A judge publishes numbers to a topic, follows it, and compares.
type judge struct {
	t     testing.TB
	topic string
	sub   *reader
	mu    sync.Mutex
	sure  map[int]bool // confirmed by a replica
	tried int
	acked int
}

func newJudge(t testing.TB, h *Hub, topic string) *judge {
	return &judge{t: t, topic: topic, sub: subscribe(t, h, topic, ""), sure: map[int]bool{}}
}

func (j *judge) count() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.acked
}

func (j *judge) publish(h *Hub, stop <-chan struct{}) {
	for i := 0; ; i++ {
		select {
		case <-stop:
			j.mu.Lock()
			j.tried = i
			j.mu.Unlock()
			return
		default:
		}
		ctx, cancel := context.WithTimeout(context.Background(), within)
		r, err := h.Publish(ctx, j.topic, "", i)
		cancel()
		if err != nil && !errors.Is(err, ErrUnavailable) {
			j.t.Errorf("publish: %v", err)
		}
		j.mu.Lock()
		if err == nil {
			j.acked++
		}
		if r.Confirmed {
			j.sure[i] = true
		}
		j.mu.Unlock()
	}
}

// verdict reads all that has come.
func (j *judge) verdict() {
	last, gap, gaps, got := -1, false, 0, 0
	for last < j.tried-1 {
		e := j.sub.next()
		if e.Kind == Gap {
			gap = true
			gaps++
			continue
		}
		i, err := strconv.Atoi(string(e.Data))
		must(j.t, err)
		if i <= last {
			j.t.Fatalf("%s: %d came after %d", j.topic, i, last)
		}
		for missed := last + 1; missed < i; missed++ {
			if j.sure[missed] {
				j.t.Errorf("%s: %d is missing, which a replica had confirmed", j.topic, missed)
			}
			if !gap {
				j.t.Errorf("%s: %d is missing, and nobody was told before %d", j.topic, missed, i)
			}
		}
		last, gap = i, false
		got++
	}
	j.t.Logf("%s: %d published, %d confirmed, %d came, %d gaps told", j.topic, j.tried, len(j.sure), got, gaps)
}
