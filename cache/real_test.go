package cache

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/contract"
	"github.com/transload/transload/internal/redisproc"
	"github.com/transload/transload/internal/redistest"
)

func TestContract(t *testing.T) {
	t.Parallel() // it waits for steps of a migration
	contract.Run(t, suite)
}

// onServer is a process of the app, whose memory is believed for as long as the server
// tells of changes, and not at all else.
func onServer(t *testing.T, s interface {
	Env(string) map[string]string
}) (*Store, *Cache[truck]) {
	t.Helper()
	store := storeOn(t, open(t, s), atOnceOld())
	return store, trucksOn(t, store, Config[truck]{})
}

// TestTracked has servers tell one process what another changes, in every mode and by
// every client whose servers can be known.
func TestTracked(t *testing.T) {
	for name, client := range map[string]func(*testing.T) redis.UniversalClient{
		"standalone":           func(t *testing.T) redis.UniversalClient { return open(t, redistest.SharedStandalone(t)) },
		"sentinel":             func(t *testing.T) redis.UniversalClient { return open(t, redistest.SharedSentinel(t)) },
		"cluster":              func(t *testing.T) redis.UniversalClient { return open(t, redistest.SharedCluster(t)) },
		"go-redis, standalone": func(t *testing.T) redis.UniversalClient { return redistest.Client(t, redistest.SharedStandalone(t)) },
		"go-redis, sentinel": func(t *testing.T) redis.UniversalClient {
			c := redis.NewFailoverClient(&redis.FailoverOptions{MasterName: redisproc.DefaultMaster, SentinelAddrs: addrs(redistest.SharedSentinel(t).Sentinels)})
			t.Cleanup(func() { _ = c.Close() })
			return c
		},
		"go-redis, cluster": func(t *testing.T) redis.UniversalClient {
			c := redis.NewClusterClient(&redis.ClusterOptions{Addrs: addrs(redistest.SharedCluster(t).Nodes)})
			t.Cleanup(func() { _ = c.Close() })
			return c
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, d, prefix := client(t), newDatabase(0), newNonce()
			a, b := storeOn(t, c, atOnceOld()), storeOn(t, c, atOnceOld())
			ours, theirs := trucksOn(t, a, Config[truck]{}), trucksOn(t, b, Config[truck]{})
			tracked(t, a, b)
			for i := range 10 { // on every master
				id := fmt.Sprint(prefix, i)
				d.put(id, 7)
				gets(t, ours, d, id, 7)
				remembers(t, theirs, d, id, 7)
				d.put(id, 8)
				if err := ours.Invalidate(t.Context(), id); err != nil {
					t.Fatal(err)
				}
				remembers(t, theirs, d, id, 8)
				remembers(t, ours, d, id, 8)
			}
			d.asked(t, 20)
		})
	}
}

func addrs(servers []*redisproc.Server) (list []string) {
	for _, s := range servers {
		list = append(list, s.Addr())
	}
	return list
}

// remembers waits until a process answers from memory, and is sure of it.
func remembers(t *testing.T, c *Cache[truck], d *database, id string, miles int) {
	t.Helper()
	redistest.Eventually(t, within, func() error {
		v, m, err := c.Get(t.Context(), id, d.load(id))
		if err != nil || v.Miles != miles || m.Source != FromMemory || m.Stale {
			return fmt.Errorf("got %+v, %+v, %w; want %d miles from memory", v, m, err, miles)
		}
		return nil
	})
}

// TestRestartEmpty kills a server that keeps nothing, and starts it again: the
// database is not asked for what is in memory, neither meanwhile nor afterwards. An
// entry is in doubt until its own filling has been told of and it was read again, so
// the server dies after that: what dies earlier is loaded again, within the guard.
func TestRestartEmpty(t *testing.T) {
	t.Parallel()
	srv, d := redistest.Standalone(t, redistest.Options{}), newDatabase(100)
	s, c := onServer(t, srv)
	tracked(t, s)
	gone := "7"
	all := func(f func(id string, miles int)) {
		for i := range 100 {
			if id := fmt.Sprint(i); id != gone {
				f(id, i)
			}
		}
	}
	all(func(id string, miles int) { gets(t, c, d, id, miles) })
	gets(t, c, d, gone, 7)
	heardAll(t, s)
	all(func(id string, miles int) { remembers(t, c, d, id, miles) })
	d.put(gone, 1000)
	if err := c.Invalidate(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	if err := srv.Kill(); err != nil {
		t.Fatal(err)
	}
	d.calls.Store(0)
	all(func(id string, miles int) {
		if m := gets(t, c, d, id, miles); m.Source != FromMemory {
			t.Errorf("%s: got an answer from %v; want memory", id, m.Source)
		}
	})
	gets(t, c, d, gone, 1000) // was invalidated, and not loaded since
	d.asked(t, 1)
	if err := srv.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	all(func(id string, miles int) { remembers(t, c, d, id, miles) })
	remembers(t, c, d, gone, 1000)
	if asked := d.calls.Load(); asked > 2 { // that one may be loaded anew: nobody knows what was told meanwhile
		t.Errorf("the database was asked %d times; want 2 at most", asked)
	}
	_, fresh := onServer(t, srv)
	all(func(id string, miles int) { is(t, gets(t, fresh, d, id, miles), FromRedis, false) })
}

// TestEmptied is about what somebody wants gone.
func TestEmptied(t *testing.T) {
	for name, do := range map[string][]string{"by FLUSHALL": {"FLUSHALL"}, "by DEL": {"DEL", entryKey("truck", "7")}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv, d := redistest.Standalone(t, redistest.Options{}), newDatabase(10)
			s, c := onServer(t, srv)
			tracked(t, s)
			remembers(t, c, d, "7", 7)
			d.put("7", 8)
			redistest.Do(t, srv, do...)
			remembers(t, c, d, "7", 8)
			d.asked(t, 2)
		})
	}
}

// TestFollows has a server die right after another process has filled a value anew:
// memory has it, though nobody has asked for it since.
func TestFollows(t *testing.T) {
	t.Parallel()
	srv, d := redistest.Standalone(t, redistest.Options{}), newDatabase(10)
	sa, a := onServer(t, srv)
	sb, b := onServer(t, srv)
	tracked(t, sa, sb)
	remembers(t, a, d, "7", 7)
	remembers(t, b, d, "7", 7)
	d.put("7", 8)
	if err := a.Invalidate(t.Context(), "7"); err != nil {
		t.Fatal(err)
	}
	remembers(t, a, d, "7", 8)
	redistest.Eventually(t, within, func() error {
		if o := sb.memory.find(entryKey("truck", "7")); o == nil || string(o.value) != `{"ID":"7","Miles":8}` {
			return errors.New("memory has not followed")
		}
		return nil
	})
	if err := srv.Kill(); err != nil {
		t.Fatal(err)
	}
	if m := gets(t, b, d, "7", 8); m.Source != FromMemory {
		t.Errorf("got an answer from %v; want memory", m.Source)
	}
	d.asked(t, 2)
}

// TestFrozen has a server hang, not die.
func TestFrozen(t *testing.T) {
	t.Parallel()
	srv, d := redistest.Standalone(t, redistest.Options{}), newDatabase(30)
	o := atOnceOld()
	o.Budget = 100 * time.Millisecond
	s := storeOn(t, open(t, srv), o)
	c := trucksOn(t, s, Config[truck]{})
	tracked(t, s)
	remembers(t, c, d, "0", 0)
	if err := srv.Freeze(); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		gets(t, c, d, "0", 0)
		gets(t, c, d, fmt.Sprint(i+1), i+1)
	}
	// The hang may come before memory was told of its own filling: then "0" is in doubt,
	// and loaded once more.
	if got := d.calls.Load(); got != 21 && got != 22 {
		t.Errorf("the database was asked %d times; want 21, or one more", got)
	}
	if !s.redis.open() {
		t.Error("the breaker is closed; want that nobody waits any more")
	}
	if err := srv.Thaw(); err != nil {
		t.Fatal(err)
	}
	remembers(t, c, d, "0", 0)
}

// TestSilence cuts off what tells of changes, and nothing else, without a word.
func TestSilence(t *testing.T) {
	t.Parallel()
	srv, d := redistest.Standalone(t, redistest.Options{}), newDatabase(10)
	proxy := redistest.Proxy(t, srv)
	client := redis.NewClient(&redis.Options{Addr: proxy.Addr(), ContextTimeoutEnabled: true, DisableIdentity: true})
	t.Cleanup(func() { _ = client.Close() })
	s := storeOn(t, client, atOnceOld())
	c := trucksOn(t, s, Config[truck]{})
	_, other := onServer(t, srv)
	tracked(t, s) // by the first connection
	tells := proxy.Links()
	remembers(t, c, d, "7", 7)
	for _, l := range tells {
		l.HoldReplies()
	}
	d.put("7", 8)
	began := time.Now()
	if err := other.Invalidate(t.Context(), "7"); err != nil {
		t.Fatal(err)
	}
	remembers(t, c, d, "7", 8)
	t.Logf("seen after %v; at most %v are promised, and the time that a look takes", time.Since(began), vouchFor)
}

// TestLostReplies has the client send scripts again: they count once.
func TestLostReplies(t *testing.T) {
	srv := redistest.SharedStandalone(t)
	proxy := redistest.Proxy(t, srv)
	c := redis.NewClient(&redis.Options{Network: srv.Network(), Addr: proxy.Addr(), ContextTimeoutEnabled: true, ReadTimeout: 200 * time.Millisecond, DisableIdentity: true})
	t.Cleanup(func() { _ = c.Close() })
	o := patient()
	o.Memory = -1 // no connection but those of commands
	trucks, d := trucksOn(t, storeOn(t, c, o), Config[truck]{}), newDatabase(0)
	id := newNonce()
	d.put(id, 7)
	lose := func() {
		for _, l := range proxy.Links() {
			l.HoldReplies()
		}
	}
	gets(t, trucks, d, id, 7)
	lose()
	if err := trucks.Invalidate(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	lose()
	d.put(id, 8)
	is(t, gets(t, trucks, d, id, 8), FromLoader, false)
	lose()
	is(t, gets(t, trucks, d, id, 8), FromRedis, false)
	for _, l := range proxy.Links() {
		l.Release() // what was held arrives, and changes nothing
	}
	is(t, gets(t, trucks, d, id, 8), FromRedis, false)
	d.asked(t, 2)
}
