package sessions

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alexedwards/scs/goredisstore"
	"github.com/alexedwards/scs/v2"
	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/redistest"
)

// benchApps are the same app by scs with its own store, by scs with ours, and by us,
// on one server and one client: a request reads its session, or changes it.
func benchApps(b *testing.B, change bool) map[string]http.Handler {
	c := redistest.Client(b, redistest.SharedStandalone(b), func(o *redis.Options) { o.ContextTimeoutEnabled = true })
	m := managerOn(b, c, Options{PerUser: -1, Budget: time.Minute})
	return map[string]http.Handler{
		"goredisstore": scsApp(b, goredisstore.New(c), change),
		"scs on ours":  scsApp(b, m.SCS(), change),
		"ours":         ourApp(b, m, change),
	}
}

var benchWorks = map[string]bool{"read": false, "change": true}

// BenchmarkSessions tells time and allocations of one request after the other.
func BenchmarkSessions(b *testing.B) {
	for work, change := range benchWorks {
		for name, app := range benchApps(b, change) {
			b.Run(work+"/"+name, func(b *testing.B) {
				cookies := serve(app, "/login", nil).Result().Cookies()
				b.ReportAllocs()
				for b.Loop() {
					if w := serve(app, "/", cookies); w.Code != http.StatusOK {
						b.Fatalf("got %d", w.Code)
					}
				}
			})
		}
	}
}

// BenchmarkStores tells what a store alone takes for a load and for a commit.
func BenchmarkStores(b *testing.B) {
	c := redistest.Client(b, redistest.SharedStandalone(b), func(o *redis.Options) { o.ContextTimeoutEnabled = true })
	m := managerOn(b, c, Options{Budget: time.Minute})
	stores := map[string]scs.CtxStore{"ours": m.SCS(), "theirs": goredisstore.New(c)}
	values, token := make([]byte, 500), strings.Repeat("t", 43)
	var tokens []string // of workers
	for w := range benchWorkers {
		tokens = append(tokens, fmt.Sprint(token, w))
	}
	for name, s := range stores {
		for _, token := range append([]string{token}, tokens...) {
			if err := s.CommitCtx(b.Context(), token, values, time.Now().Add(time.Hour)); err != nil {
				b.Fatal(err)
			}
		}
		b.Run("load/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, found, err := s.FindCtx(b.Context(), token); !found || err != nil {
					b.Fatal(found, err)
				}
			}
		})
		b.Run("commit/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := s.CommitCtx(b.Context(), token, values, time.Now().Add(time.Hour)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	for work, do := range map[string]func(scs.CtxStore, string) error{
		"load": func(s scs.CtxStore, token string) error {
			_, found, err := s.FindCtx(b.Context(), token)
			if err == nil && !found {
				err = ErrNotFound
			}
			return err
		},
		"commit": func(s scs.CtxStore, token string) error {
			return s.CommitCtx(b.Context(), token, values, time.Now().Add(time.Hour))
		},
	} {
		b.Run(work+"s a second", func(b *testing.B) {
			inTurns(b, func(i, worker int) error {
				return do(stores[[]string{"ours", "theirs"}[i]], tokens[worker])
			})
		})
	}
}

// BenchmarkRequests has ours and scs with its own store serve in turns, so that a
// machine that is slow for a while is so for both.
func BenchmarkRequests(b *testing.B) {
	for work, change := range benchWorks {
		apps := benchApps(b, change)
		for _, name := range []string{"scs on ours", "ours"} {
			b.Run(work+"/"+name, func(b *testing.B) {
				pair := [2]http.Handler{apps[name], apps["goredisstore"]}
				var cookies [2][benchWorkers][]*http.Cookie // each has a session of its own
				for i, app := range pair {
					for w := range benchWorkers {
						cookies[i][w] = serve(app, "/login", nil).Result().Cookies()
					}
				}
				inTurns(b, func(i, worker int) error {
					if w := serve(pair[i], "/", cookies[i][worker]); w.Code != http.StatusOK {
						return fmt.Errorf("got %d", w.Code)
					}
					return nil
				})
			})
		}
	}
}

const (
	benchTurns   = 10
	benchTurn    = 500 * time.Millisecond
	benchWorkers = 16
)

// inTurns reports how much more of two things, the first being ours, is done in a
// time, and what each costs in processor time, here and in the server.
func inTurns(b *testing.B, do func(i, worker int) error) {
	server := redistest.SharedStandalone(b)
	for b.Loop() {
		var n [2]int64
		var cpu [2]time.Duration
		for range benchTurns {
			for i := range 2 {
				before := redistest.Spent(b, server)
				n[i] += benchTurnOf(b, func(worker int) error { return do(i, worker) })
				cpu[i] += redistest.Spent(b, server) - before
			}
		}
		each := func(i int) float64 { return float64(cpu[i]) / 1e3 / float64(n[i]) }
		b.ReportMetric(float64(n[0])/(benchTurns*benchTurn).Seconds(), "ours/s")
		b.ReportMetric(float64(n[1])/(benchTurns*benchTurn).Seconds(), "theirs/s")
		b.ReportMetric(float64(n[0])/float64(n[1]), "ratio")
		b.ReportMetric(each(0), "our-cpu-µs")
		b.ReportMetric(each(1), "their-cpu-µs")
		b.ReportMetric(each(1)/each(0), "ratio-by-cpu")
		b.ReportMetric(0, "ns/op") // of all turns: it says nothing
	}
}

func benchTurnOf(b *testing.B, do func(worker int) error) int64 {
	b.Helper()
	ends := time.Now().Add(benchTurn)
	var n atomic.Int64
	var wg sync.WaitGroup
	for w := range benchWorkers {
		wg.Go(func() {
			for time.Now().Before(ends) {
				if err := do(w); err != nil {
					b.Error(err)
					return
				}
				n.Add(1)
			}
		})
	}
	wg.Wait()
	return n.Load()
}

func serve(h http.Handler, path string, cookies []*http.Cookie) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	for _, c := range cookies {
		r.AddCookie(c)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

type profile struct {
	User  string
	Items []string
	Count int
}

var someone = profile{User: "alice", Items: []string{"pallet", "crate", "container"}, Count: 7}

func scsApp(b *testing.B, store scs.Store, change bool) http.Handler {
	sm := scs.New()
	sm.Store = store
	sm.Lifetime = time.Hour
	mux := http.NewServeMux()
	mux.HandleFunc("/login", func(_ http.ResponseWriter, r *http.Request) {
		sm.Put(r.Context(), "user", someone.User)
		sm.Put(r.Context(), "items", someone.Items)
		sm.Put(r.Context(), "count", someone.Count)
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if sm.GetString(r.Context(), "user") != someone.User {
			b.Error("the session is lost")
		}
		if change {
			sm.Put(r.Context(), "count", 8)
		}
	})
	return sm.LoadAndSave(mux)
}

func ourApp(b *testing.B, m *Manager, change bool) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/login", func(w http.ResponseWriter, r *http.Request) {
		if _, err := m.Start(w, r, "alice", someone); err != nil {
			b.Error(err)
		}
	})
	mux.HandleFunc("/", func(_ http.ResponseWriter, r *http.Request) {
		s, state := From(r.Context())
		var p profile
		if state != Live || s.Decode(&p) != nil {
			b.Errorf("got %v", state)
			return
		}
		if change {
			p.Count = 8
			if err := m.Save(r.Context(), s, p); err != nil {
				b.Error(err)
			}
		}
	})
	return m.Middleware(mux)
}
