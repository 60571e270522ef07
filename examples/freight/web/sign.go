package web

import (
	"errors"
	"net/http"
	"time"

	"github.com/transload/transload/examples/freight/app"
	"github.com/transload/transload/examples/freight/store"
	"github.com/transload/transload/pubsub"
	"github.com/transload/transload/sessions"
)

type signInView struct {
	Email  string `json:"email,omitempty"`
	Wrong  bool   `json:"wrong"`
	Passed string `json:"user,omitempty"`
}

func (s *Server) signInForm(w http.ResponseWriter, r *http.Request) error {
	s.show(w, r, http.StatusOK, "sign-in", signInView{})
	return nil
}

func (s *Server) signIn(w http.ResponseWriter, r *http.Request) error {
	email := r.PostFormValue("email")
	if ok, err := s.app.Guess(r.Context(), email); err != nil || !ok {
		return errors.Join(err, errGuesses)
	}
	u, err := s.app.Store.SignIn(r.Context(), email, r.PostFormValue("password"))
	if errors.Is(err, store.ErrPassword) {
		s.show(w, r, http.StatusUnauthorized, "sign-in", signInView{Email: email, Wrong: true})
		return nil
	} else if err != nil {
		return err
	}
	s.app.Right(r.Context(), email)
	if _, err := s.app.Sessions.Start(w, r, u.ID, app.Visitor{Name: u.Name, Role: u.Role}); err != nil {
		return err
	}
	return s.done(w, r, "/", signInView{Passed: u.ID})
}

// done answers a form: browsers are sent on to a page.
func (s *Server) done(w http.ResponseWriter, r *http.Request, to string, view any) error {
	if wantsJSON(r) {
		answer(w, http.StatusOK, view)
		return nil
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
	return nil
}

// signOut ends the session and its sockets. While Redis is away it is ended here at
// once, and everywhere as soon as that answers.
func (s *Server) signOut(w http.ResponseWriter, r *http.Request) error {
	session, _ := sessions.From(r.Context())
	_, err := s.app.Sessions.Logout(w, r)
	if err != nil && !errors.Is(err, sessions.ErrUnavailable) {
		return err
	}
	if session != nil {
		s.app.Leave(r.Context(), pubsub.Peer{User: session.User, Session: session.Handle()})
	}
	return s.done(w, r, "/", signInView{})
}

func (s *Server) signOutEverywhere(w http.ResponseWriter, r *http.Request) error {
	session, _ := sessions.From(r.Context())
	if _, err := s.app.Sessions.RevokeUser(r.Context(), session.User); err != nil {
		return err
	}
	s.app.Leave(r.Context(), pubsub.Peer{User: session.User})
	return s.signOut(w, r)
}

// A device is one session of a user.
type device struct {
	Handle  string    `json:"handle"`
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires"`
	This    bool      `json:"this"`
}

type accountView struct {
	User    store.User `json:"user"`
	Devices []device   `json:"devices"`
	Away    bool       `json:"away"` // the list cannot be had now
}

func (s *Server) account(w http.ResponseWriter, r *http.Request) error {
	session, _ := sessions.From(r.Context())
	u, err := s.app.Store.User(r.Context(), session.User)
	if err != nil {
		return err
	}
	list, err := s.app.Sessions.List(r.Context(), session.User)
	if err != nil && !errors.Is(err, sessions.ErrUnavailable) {
		return err
	}
	v := accountView{User: u, Away: err != nil}
	for _, one := range list {
		v.Devices = append(v.Devices, device{one.Handle()[:8], one.Created, one.Expires, one.Handle() == session.Handle()})
	}
	s.show(w, r, http.StatusOK, "account", v)
	return nil
}

// peer says whose a socket is.
func (s *Server) peer(r *http.Request) (pubsub.Peer, error) {
	session, _ := sessions.From(r.Context())
	if session == nil {
		return pubsub.Peer{}, pubsub.ErrDenied
	}
	return pubsub.Peer{User: session.User, Session: session.Handle()}, nil
}
