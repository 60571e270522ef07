package web

import (
	"errors"
	"net/http"

	"github.com/transload/transload/cache"
	"github.com/transload/transload/examples/freight/app"
	"github.com/transload/transload/examples/freight/store"
	"github.com/transload/transload/sessions"
)

// A handler answers a request, or says why not.
type handler func(w http.ResponseWriter, r *http.Request) error

// A problem is an error that is the user's, and what he is told.
type problem struct {
	status int
	text   string
}

func (p *problem) Error() string { return p.text }

var (
	errGuesses = &problem{http.StatusTooManyRequests, "Too many wrong passwords for this account. Please try again in a quarter of an hour."}
	errSignIn  = &problem{http.StatusUnauthorized, "Please sign in first."}
	errNobody  = &problem{http.StatusForbidden, "This is not yours to do."}
	errMissing = &problem{http.StatusNotFound, "There is no such thing here."}
)

// handle turns a handler's error into a page.
func (s *Server) handle(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := h(w, r)
		if err == nil {
			return
		}
		p := s.problem(err)
		if p.status == http.StatusServiceUnavailable {
			w.Header().Set("Retry-After", "2")
		}
		if p == errSignIn && !wantsJSON(r) && r.Method == http.MethodGet {
			http.Redirect(w, r, "/sign-in", http.StatusSeeOther)
			return
		}
		s.show(w, r, p.status, "problem", problemView{Text: p.text})
	})
}

type problemView struct {
	Text string `json:"problem"`
}

// problem says what a user is told of an error, and logs what an engineer should be.
func (s *Server) problem(err error) *problem {
	switch p, ok := errors.AsType[*problem](err); {
	case ok:
		return p
	case errors.Is(err, store.ErrNotFound):
		return errMissing
	case errors.Is(err, store.ErrTaken):
		return &problem{http.StatusConflict, "This load has been given to another driver."}
	case errors.Is(err, store.ErrChanged):
		return &problem{http.StatusConflict, "The driver has changed this bid meanwhile. Please look at it again."}
	case errors.Is(err, app.ErrForm), errors.Is(err, app.ErrFix):
		return &problem{http.StatusUnprocessableEntity, err.Error()}
	case errors.Is(err, sessions.ErrConflict):
		return &problem{http.StatusConflict, "You have signed out elsewhere at this moment. Please try again."}
	case errors.Is(err, sessions.ErrUnavailable), errors.Is(err, cache.ErrShed), errors.Is(err, cache.ErrUnavailable):
		return &problem{http.StatusServiceUnavailable, "This takes a moment longer than usual. Please try again."}
	}
	s.log.Warn("a request failed", "op", "http", "err", err)
	return &problem{http.StatusInternalServerError, "Something went wrong on our side. Please try again."}
}

// signedIn lets only users with a session pass, also while it cannot be confirmed: for
// what is looked at.
func (s *Server) signedIn(h handler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if v, _ := sessions.From(r.Context()); v == nil {
			return errSignIn
		}
		return h(w, r)
	}
}

// live lets only users pass whose session is known to live, for what changes something: a
// session that cannot be confirmed may have ended elsewhere. sessions.RequireLive does the
// same where no page is wanted.
func (s *Server) live(h handler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		switch _, state := sessions.From(r.Context()); state {
		case sessions.Live:
			return h(w, r)
		case sessions.Degraded:
			return sessions.ErrUnavailable
		default:
			return errSignIn
		}
	}
}

// noted has the status page know who is here.
func (s *Server) noted(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if v, state := sessions.From(r.Context()); v != nil {
			who := s.visitor(r)
			s.app.Seen(app.Guest{User: v.User, Name: who.Name, Role: who.Role, State: state.String()})
		}
		next.ServeHTTP(w, r)
	})
}

// visitor is who has sent a request; nobody is empty. A session that is known from its
// signed cookie alone has no values: then the database knows.
func (s *Server) visitor(r *http.Request) (v app.Visitor) {
	session, _ := sessions.From(r.Context())
	if session == nil || session.Decode(&v) == nil {
		return v
	}
	u, err := s.app.Store.User(r.Context(), session.User)
	if err != nil {
		s.log.Warn("a user was not found", "op", "http", "err", err)
	}
	return app.Visitor{Name: u.Name, Role: u.Role}
}
