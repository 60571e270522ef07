// Package web shows the freight app to browsers. Each page is also to be had as JSON, by
// Accept: application/json: a driver's phone and the load generator read that.
package web

import (
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"

	"github.com/transload/transload/examples/freight/app"
	"github.com/transload/transload/pubsub"
	"github.com/transload/transload/ratelimit"
	"github.com/transload/transload/sessions"
)

//go:embed templates static
var files embed.FS

// A Server has the app's pages.
type Server struct {
	app     *app.App
	log     *slog.Logger
	pages   map[string]*template.Template
	sockets *pubsub.Handler
	proxies ratelimit.Proxies
}

// New makes the pages of an app. Behind proxies the address of a client is what these
// say.
func New(a *app.App, proxies ratelimit.Proxies, log *slog.Logger) (s *Server, err error) {
	s = &Server{app: a, log: log, proxies: proxies}
	if s.pages, err = parse(); err != nil {
		return nil, err
	}
	s.sockets, err = a.Hub.Handler(pubsub.Sockets{Identify: s.peer, Authorize: a.MayFollow, Valid: a.StillIn})
	return s, err
}

// Sockets are what is to be drained before the app ends.
func (s *Server) Sockets() *pubsub.Handler { return s.sockets }

// Public is the app as users see it.
func (s *Server) Public() (http.Handler, error) {
	var err error
	mux := http.NewServeMux()
	limited := func(pattern, policy string, h http.Handler) {
		m, e := s.app.Limits.Middleware(ratelimit.By(user), ratelimit.Asking(policy), ratelimit.BehindProxies(s.proxies))
		if e != nil {
			err = e
			return
		}
		mux.Handle(pattern, m(h))
	}
	page := func(pattern string, h handler) { limited(pattern, "pages", s.handle(h)) }
	page("GET /{$}", s.search)
	page("GET /loads", s.search)
	page("GET /loads/{id}", s.load)
	page("GET /carriers/{id}", s.carrier)
	page("GET /sign-in", s.signInForm)
	page("GET /map", s.signedIn(s.fleetMap))
	page("GET /near", s.signedIn(s.near))
	page("GET /post", s.signedIn(s.postForm))
	page("GET /mine", s.signedIn(s.mine))
	page("GET /messages", s.signedIn(s.messages))
	page("GET /account", s.signedIn(s.account))
	page("POST /sign-out", s.signOut)
	page("/", func(http.ResponseWriter, *http.Request) error { return errMissing })
	live := func(h handler) http.Handler { return s.handle(s.live(h)) }
	limited("POST /sign-in", "sign-in", s.handle(s.signIn))
	limited("POST /loads", "post", live(s.post))
	limited("POST /loads/{id}/bids", "bid", live(s.bid))
	limited("POST /loads/{id}/accept", "post", live(s.accept))
	limited("POST /sign-out-everywhere", "post", live(s.signOutEverywhere))
	limited("POST /gps", "gps", s.handle(s.signedIn(s.gps)))
	if err != nil {
		return nil, fmt.Errorf("web: %w", err)
	}
	outer := http.NewServeMux()
	outer.Handle("GET /static/{file}", static())
	outer.Handle("GET /live.js", pubsub.Client())
	outer.Handle("GET /live", s.app.Sessions.Middleware(s.sockets))
	outer.HandleFunc("GET /healthz", s.alive)
	outer.HandleFunc("GET /readyz", s.ready)
	outer.Handle("/", s.app.Sessions.Middleware(s.noted(mux)))
	// Forms of other sites are refused; the cookie's SameSite=Lax is the other lock.
	return headers(http.NewCrossOriginProtection().Handler(s.bounded(outer))), nil
}

// user is whom limits are for: who is signed in, else "", the address.
func user(r *http.Request) string {
	if s, _ := sessions.From(r.Context()); s != nil {
		return s.User
	}
	return ""
}

// static serves scripts and styles, which browsers may keep: they change with the program
// alone.
func static() http.Handler {
	dir, _ := fs.Sub(files, "static") // a name that is none would be an error
	next := http.StripPrefix("/static/", http.FileServerFS(dir))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "public, max-age=300")
		next.ServeHTTP(w, r)
	})
}

// headers are on every response: scripts and styles are our own files.
func headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		next.ServeHTTP(w, r)
	})
}
