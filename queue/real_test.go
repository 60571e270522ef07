package queue

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

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

// A Redis that evicts is refused by producers and by workers, with what to do.
func TestRealEvicting(t *testing.T) {
	t.Parallel()
	s := redistest.Standalone(t, redistest.Options{Args: []string{"--maxmemory", "50mb", "--maxmemory-policy", "allkeys-lru"}})
	for name, r := range map[string]redis.UniversalClient{"go-redis": redistest.Client(t, s), "topology": open(t, s)} {
		t.Run(name, func(t *testing.T) {
			_, err := ship.Enqueue(t.Context(), clientOn(t, r, patient()), parcel{})
			if !errors.Is(err, ErrEvicts) || !strings.Contains(err.Error(), "CONFIG SET maxmemory-policy noeviction") || !strings.Contains(err.Error(), "allkeys-lru") {
				t.Errorf("enqueue: got %v; want ErrEvicts, and how to mend it", err)
			}
			if err := serverOn(t, r, Config{}).Run(t.Context()); !errors.Is(err, ErrEvicts) {
				t.Errorf("run: got %v; want ErrEvicts", err)
			}
		})
	}
	redistest.Do(t, s, "CONFIG", "SET", "maxmemory-policy", "noeviction")
	if got := sent(t, clientOn(t, redistest.Client(t, s), patient()), ship, parcel{}); got.State != New {
		t.Errorf("mended: got %v; want new", got.State)
	}
}

// A full Redis that does not evict says so, at once.
func TestRealFull(t *testing.T) {
	t.Parallel()
	s := redistest.Standalone(t, redistest.Options{Args: []string{"--maxmemory", "1"}})
	_, err := ship.Enqueue(t.Context(), clientOn(t, redistest.Client(t, s), patient()), parcel{})
	if !errors.Is(err, ErrFull) || errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "OOM") {
		t.Errorf("got %v; want ErrFull, and the server's reply", err)
	}
}

// A real server words its replies in its own way.
func TestRealAcknowledgedTwice(t *testing.T) {
	t.Parallel()
	acknowledgedTwice(t, redistest.Client(t, redistest.Standalone(t, redistest.Options{})), false)
}

// A primary takes a job, and falls silent before it says that a replica has it. It is
// sent again: found by its nonce if it is there, even if it was run meanwhile, and in
// its place if a failover has lost it.
func TestSilentWait(t *testing.T) {
	t.Parallel()
	for name, meanwhile := range map[string]func(*testing.T, *Client, *entry){
		"it is there": func(*testing.T, *Client, *entry) {},
		"it was lost": func(t *testing.T, c *Client, e *entry) {
			must(t, c.redis.Del(t.Context(), e.firstKey(), queueKey(e.queue, "pending")).Err())
		},
		"it was run": func(t *testing.T, c *Client, e *entry) {
			must(t, settleJob(t.Context(), c.redis, jobRef{e.queue, e.id}, finish{nonce: e.nonce, retain: "60"}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, b, queue := open(t, redistest.SharedSentinel(t)), &breach{}, "silent-"+newNonce()
			c := clientOn(t, waits{r, b}, patient())
			e, err := ship.entry(parcel{To: "Kyiv"}, []Option{In(queue), Replicated()})
			must(t, err)
			b.set(&b.before, func(cmd redis.Cmder) bool {
				if cmd.Name() != "wait" || b.lost.Load() > 0 {
					return false
				}
				meanwhile(t, c, e)
				return true
			})
			must(t, c.enqueue(t.Context(), []*entry{e}))
			if n := b.lost.Load(); e.state != New || n != 1 || e.confirmed != (name == "it was lost") {
				t.Errorf("got %v, confirmed %v, after %d silences; want new, and confirmed if it was written anew", e.state, e.confirmed, n)
			}
			want := map[bool]Stage{false: Pending, true: Completed}[name == "it was run"]
			is(t, c, queue, e.id, want)
		})
	}
}

// waits is a client of which a hook sees what goes over a connection of Watch.
type waits struct {
	*topology.Client
	hook redis.Hook
}

func (w waits) Watch(ctx context.Context, f func(*redis.Tx) error, keys ...string) error {
	return w.Client.Watch(ctx, func(tx *redis.Tx) error { tx.AddHook(w.hook); return f(tx) }, keys...)
}

// A replica confirms what was sent on its primary's connection, not what an earlier
// attempt got an answer for, which may have been a primary that is gone.
func TestRealConfirmsWhatWasSent(t *testing.T) {
	t.Parallel()
	c := clientOn(t, open(t, redistest.SharedSentinel(t)), Options{Confirm: within})
	var both []*entry
	for range 2 {
		e, err := ship.entry(parcel{}, []Option{Replicated()})
		must(t, err)
		e.compose(c.scripts, time.Now())
		both = append(both, e)
	}
	both[0].done = true
	must(t, c.attempt(t.Context(), both))
	if before, now := both[0].confirmed, both[1].confirmed; before || !now {
		t.Errorf("got %v for what was sent before, %v for what was sent now; want false and true", before, now)
	}
}

// A server whose Redis answers nobody has stopped within its bound: while a handler
// ends, an acknowledgement is held, and a job should go back.
func TestRealStopsInBound(t *testing.T) {
	t.Parallel()
	server := redistest.Standalone(t, redistest.Options{})
	r := open(t, server)
	cfg := quick("parcels")
	cfg.Stop = time.Second
	c, s := clientOn(t, r, patient()), serverOn(t, r, cfg)
	must(t, ship.Cron(s, "@every 1s", parcel{To: "tick"}, In("ticks")))
	begun, end := make(chan struct{}, 2), make(chan struct{})
	handled(t, s, ship, func(ctx context.Context, p parcel, _ Meta) error {
		begun <- struct{}{}
		if p.To == "ends" {
			<-end
			return nil
		}
		<-ctx.Done()
		return ctx.Err()
	})
	stop := run(t, s)
	finished := sent(t, c, ship, parcel{To: "ends"})
	sent(t, c, ship, parcel{To: "goes back"})
	<-begun
	<-begun
	must(t, server.Freeze())
	t.Cleanup(func() { _ = server.Thaw() })
	close(end)
	began := time.Now()
	err := stop()
	if took, most := time.Since(began), cfg.Stop+lastWords+5*time.Second; took > most { // the machine is busy
		t.Errorf("it took %v; want %v at most", took, cfg.Stop+lastWords)
	}
	if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), finished.ID) {
		t.Errorf("got %v; want the id of the job that was finished", err)
	}
}
