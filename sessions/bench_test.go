package sessions

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/alexedwards/scs/goredisstore"
	"github.com/alexedwards/scs/v2"
	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/redistest"
)

// The same work by scs with its own store, by scs with ours, and by us, on one
// server and one client: a request that reads its session, and one that changes it.
func BenchmarkSessions(b *testing.B) {
	c := redistest.Client(b, redistest.SharedStandalone(b), func(o *redis.Options) { o.ContextTimeoutEnabled = true })
	m := managerOn(b, c, Options{PerUser: -1})
	for _, work := range []string{"read", "change"} {
		for _, lib := range []struct {
			name string
			app  func(change bool) http.Handler
		}{
			{"scs+goredisstore", func(change bool) http.Handler { return scsApp(b, goredisstore.New(c), change) }},
			{"scs+ours", func(change bool) http.Handler { return scsApp(b, m.SCS(), change) }},
			{"ours", func(change bool) http.Handler { return ourApp(b, m, change) }},
		} {
			b.Run(work+"/"+lib.name, func(b *testing.B) {
				app := lib.app(work == "change")
				b.ReportAllocs()
				b.SetParallelism(8)
				b.ResetTimer()
				b.RunParallel(func(pb *testing.PB) {
					cookies := serve(app, "/login", nil).Result().Cookies() // each has a session of its own
					for pb.Next() {
						if w := serve(app, "/", cookies); w.Code != http.StatusOK {
							b.Errorf("got %d", w.Code)
							return
						}
					}
				})
			})
		}
	}
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
