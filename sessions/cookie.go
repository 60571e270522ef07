package sessions

import (
	"net/http"
	"strings"
	"time"
)

// A cookie whose name begins so is taken by browsers with Secure and Path=/ and
// without Domain alone, and cannot be set by another host of the domain.
const hostPrefix = "__Host-"

// cookieName is that of the id.
func (m *Manager) cookieName() string { return hostPrefix + m.opt.Name }

// envelopeName is that of the envelope.
func (m *Manager) envelopeName() string { return hostPrefix + m.opt.Name + ".e" }

// presented returns the hash of the id that a request brings, if it brings one.
func (m *Manager) presented(r *http.Request) (hash, bool) {
	c, err := r.Cookie(m.cookieName())
	if err != nil {
		return hash{}, false
	}
	return parseToken(m.opt.Name, c.Value)
}

// setCookie sets a cookie until a time, instead of one of that name that the
// response sets already.
func (m *Manager) setCookie(w http.ResponseWriter, name, value string, until time.Time) {
	c := &http.Cookie{Name: name, Value: value, Path: "/", Secure: true, HttpOnly: true, SameSite: m.opt.SameSite}
	if c.MaxAge = int(time.Until(until).Seconds()); c.MaxAge <= 0 {
		c.MaxAge = -1
	}
	h := w.Header()
	kept := h["Set-Cookie"][:0:0]
	for _, line := range h["Set-Cookie"] {
		if !strings.HasPrefix(line, name+"=") {
			kept = append(kept, line)
		}
	}
	h["Set-Cookie"] = append(kept, c.String())
	private(h)
}

func (m *Manager) clearCookies(w http.ResponseWriter) {
	m.setCookie(w, m.cookieName(), "", time.Time{})
	if len(m.keys) > 0 {
		m.setCookie(w, m.envelopeName(), "", time.Time{})
	}
}

// private keeps a response that depends on a session out of every cache.
func private(h http.Header) { h.Set("Cache-Control", "no-store") }
