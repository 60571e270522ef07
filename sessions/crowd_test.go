package sessions

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/redisproc"
	"github.com/transload/transload/internal/redistest"
)

// A rider is a user with a session, and what he was told.
type rider struct {
	mu        sync.Mutex
	b         *browser
	user      string
	told      time.Time // when the login was acknowledged
	confirmed bool      // by a replica
	saved     int       // the last save that was acknowledged
	unsure    bool      // a save may have been carried out
	out       time.Time // when a logout was acknowledged
	outSure   bool      // by a replica
	nobody    int       // visits that found him anonymous while logged in
}

type trip struct{ N int }

// A crowd rides on several instances of an app.
type crowd struct {
	t         *testing.T
	instances []*Manager
	mu        sync.Mutex
	all       []*rider
	states    [4]atomic.Int64 // visits by state; 0 is 503
	refused   atomic.Int64    // logins
}

func newCrowd(t *testing.T, clients ...redis.UniversalClient) *crowd {
	t.Helper()
	c := &crowd{t: t}
	o := Options{Keys: [][]byte{key()}}
	for _, client := range clients {
		c.instances = append(c.instances, managerOn(t, client, o))
	}
	began := time.Now()
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for c.size() < riders {
				c.board()
			}
		})
	}
	wg.Wait()
	t.Logf("%d logins in %v", c.size(), time.Since(began).Round(time.Millisecond))
	return c
}

func (c *crowd) size() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.all)
}

func (c *crowd) any() *Manager { return c.instances[rand.IntN(len(c.instances))] }

func (c *crowd) pick() *rider {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.all[rand.IntN(len(c.all))]
}

// board logs somebody in.
func (c *crowd) board() {
	r := &rider{b: newBrowser(c.t), user: "rider-" + newNonce()}
	r.b.with(func(w http.ResponseWriter, req *http.Request) {
		s, err := c.any().Start(w, req, r.user, trip{})
		if err != nil {
			c.refused.Add(1)
			if !errors.Is(err, ErrUnavailable) {
				c.t.Errorf("login: %v", err)
			}
			return
		}
		r.told, r.confirmed = time.Now(), s.Confirmed
	})
	if r.told.IsZero() {
		time.Sleep(10 * time.Millisecond)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, r)
}

// ride runs the load until it is stopped: of a hundred requests 94 read, 4 save, one
// is a login and one a logout.
func (c *crowd) ride() (stop func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				case <-time.After(2 * time.Millisecond):
				}
				switch n := rand.IntN(100); n {
				case 0:
					c.board()
				case 1:
					c.leave(c.pick())
				default:
					c.visit(c.pick(), n < 6)
				}
			}
		})
	}
	return func() { close(done); wg.Wait() }
}

func (c *crowd) visit(r *rider, save bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.out.IsZero() {
		return
	}
	m := c.any()
	a := r.b.visit(m)
	c.states[a.state].Add(1)
	switch {
	case a.state == Anonymous:
		r.nobody++
	case a.state == Live && save:
		next := r.saved + 1
		err := Update(c.t.Context(), m, a.session, func(v *trip) error { v.N = next; return nil })
		if err == nil {
			r.saved = next
		}
		r.unsure = r.unsure || errors.Is(err, ErrUnavailable)
	}
}

func (c *crowd) leave(r *rider) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.out.IsZero() {
		return
	}
	kept := r.b.clone() // a thief has the cookies
	sure, err := r.b.logout(c.any())
	r.b, r.out, r.outSure = kept, time.Now(), sure || err != nil // what is queued is done at last
}

func (c *crowd) kill(s *redisproc.Server) time.Time {
	c.t.Helper()
	if err := s.Kill(); err != nil {
		c.t.Fatal(err)
	}
	return time.Now()
}

// A verdict is what a server may have lost: what it was told from lag before it was
// killed.
type verdict struct {
	killed time.Time
	lag    time.Duration
}

func (v verdict) excuses(at time.Time) bool {
	return !v.killed.IsZero() && at.After(v.killed.Add(-v.lag)) && at.Before(v.killed.Add(v.lag))
}

// ask visits with every session.
func (c *crowd) ask(m *Manager) []answer {
	answers := make([]answer, len(c.all))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(c.all); i = int(next.Add(1)) - 1 {
				answers[i] = c.all[i].b.visit(m)
			}
		})
	}
	wg.Wait()
	return answers
}

// judge asks for every session once more, by an instance that remembers nothing.
func (c *crowd) judge(v verdict) {
	t := c.t
	redistest.Eventually(t, within, func() error {
		for i, m := range c.instances {
			if n := m.queue.n.Load(); n > 0 {
				return fmt.Errorf("instance %d has %d revocations waiting", i, n)
			}
		}
		return nil
	})
	fresh := managerOn(t, c.instances[0].redis.c.(redis.UniversalClient), patient())
	var n struct{ live, out, confirmed, lost, revived, savesLost, blink int }
	for i, a := range c.ask(fresh) {
		r := c.all[i]
		switch {
		case a.state != Live && a.state != Anonymous:
			t.Fatalf("got %v, %d; want an answer", a.state, a.status)
		case !r.out.IsZero():
			n.out++
			if a.state == Live {
				n.revived++
				if r.outSure || !v.excuses(r.out) {
					t.Errorf("%s: a session lives that was logged out %v after the fault, confirmed %v", r.user, r.out.Sub(v.killed), r.outSure)
				}
			}
			continue
		case a.state == Anonymous:
			n.lost++
			if r.confirmed || !v.excuses(r.told) {
				t.Errorf("%s: a session is lost that was told of %v after the fault, confirmed %v", r.user, r.told.Sub(v.killed), r.confirmed)
			}
			continue
		}
		n.live++
		if r.confirmed {
			n.confirmed++
		}
		if r.nobody > 0 {
			n.blink++
			t.Errorf("%s: was anonymous on %d visits, and lives", r.user, r.nobody)
		}
		var got trip
		if err := a.session.Decode(&got); err != nil || got.N < r.saved {
			n.savesLost++
			if v.killed.IsZero() {
				t.Errorf("%s: got save %d, %v; want %d", r.user, got.N, err, r.saved)
			}
		}
	}
	t.Logf("%d sessions live, %d of them confirmed by a replica; %d logged out; lost by the server %d, revived %d, with a save undone %d",
		n.live, n.confirmed, n.out, n.lost, n.revived, n.savesLost)
	t.Logf("visits: live %d, degraded %d, anonymous %d, 503 %d; logins refused %d",
		c.states[Live].Load(), c.states[Degraded].Load(), c.states[Anonymous].Load(), c.states[0].Load(), c.refused.Load())
}
