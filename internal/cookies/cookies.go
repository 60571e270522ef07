// Package cookies keeps cookies as browsers do, for the tests of package sessions.
package cookies

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// A Browser keeps cookies as browsers do, and refuses those that a browser would.
type Browser struct {
	Cookies map[string]*http.Cookie
	tb      testing.TB
}

// New is a browser without cookies.
func New(tb testing.TB) *Browser { return &Browser{Cookies: map[string]*http.Cookie{}, tb: tb} }

// Clone is a browser with the same cookies: another request under way.
func (b *Browser) Clone() *Browser { return &Browser{Cookies: maps.Clone(b.Cookies), tb: b.tb} }

// Request is one that carries the cookies.
func (b *Browser) Request() *http.Request {
	r := httptest.NewRequestWithContext(b.tb.Context(), http.MethodGet, "https://freight.example/", nil)
	for _, c := range b.Cookies {
		r.AddCookie(c)
	}
	return r
}

// Send sends a request, and keeps the cookies of the response.
func (b *Browser) Send(f http.HandlerFunc) *httptest.ResponseRecorder {
	b.tb.Helper()
	w := httptest.NewRecorder()
	f(w, b.Request())
	for _, c := range w.Result().Cookies() {
		b.keep(c)
	}
	return w
}

func (b *Browser) keep(c *http.Cookie) {
	b.tb.Helper()
	if !c.Secure || !c.HttpOnly || c.Path != "/" || c.Domain != "" || c.SameSite < http.SameSiteLaxMode || !strings.HasPrefix(c.Name, "__Host-") {
		b.tb.Errorf("got a cookie that a browser refuses or a script reads: %v", c)
	}
	if c.MaxAge < 0 {
		delete(b.Cookies, c.Name)
		return
	}
	b.Cookies[c.Name] = c
}
