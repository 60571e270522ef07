package sessions

import (
	"context"
	"io"
	"net/http"
)

type contextKey struct{}

// found is what the Middleware has found.
type found struct {
	session *Session
	state   State
}

// From returns the session of a request that has come through Middleware, nil if
// there is none, and its state. What Start or Logout do later is not seen by it.
func From(ctx context.Context) (*Session, State) {
	f, _ := ctx.Value(contextKey{}).(found)
	return f.session, f.state
}

// Middleware finds the session of each request, for From. A request whose session
// nobody can say anything of gets 503, and keeps its cookies: it is not anonymous,
// and must not end on the login page. Responses to a session are not cached, unless
// the handler says otherwise.
func (m *Manager) Middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Add("Vary", "Cookie")
		s, state, rec, err := m.find(r)
		if err != nil {
			problem(w, http.StatusServiceUnavailable, "The session store does not answer. Your session is kept: try again.")
			return
		}
		if state != Anonymous {
			private(w.Header())
		}
		if state == Live {
			m.renew(w, r, s.id, rec)
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), contextKey{}, found{s, state})))
	})
}

// RequireLive lets only requests with a Live session pass, for what changes
// something: a degraded one may have been logged out. Others get 503 when degraded,
// 401 when anonymous. It stands behind Middleware.
func RequireLive(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch _, state := From(r.Context()); state {
		case Live:
			next.ServeHTTP(w, r)
		case Degraded:
			problem(w, http.StatusServiceUnavailable, "The session store does not answer. Nothing can be changed now: try again.")
		case Anonymous:
			problem(w, http.StatusUnauthorized, "Log in first.")
		default:
			problem(w, http.StatusInternalServerError, "The session middleware is missing.")
		}
	})
}

// problem writes an error by RFC 9457.
func problem(w http.ResponseWriter, status int, detail string) {
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	private(h)
	if status == http.StatusServiceUnavailable {
		h.Set("Retry-After", "2") // a failover takes less than 5 s
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, `{"title":"`+http.StatusText(status)+`","detail":"`+detail+`"}`+"\n")
}
