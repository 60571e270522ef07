package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/transload/transload/examples/freight/store"
)

// A client is who sends requests by hand.
type client struct {
	t   *testing.T
	i   *instance
	who http.Header // his cookies, and what else he says
}

// with returns a client who says something more.
func (c client) with(name, value string) client {
	c.who = c.who.Clone()
	c.who.Set(name, value)
	return c
}

// do sends a request, again if a busy machine's Redis has not answered in time: whatever
// is sent here may be sent again.
func (c client) do(method, path, kind, body string) (resp *http.Response) {
	c.t.Helper()
	for began := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		resp = c.try(method, path, kind, body)
		if resp.StatusCode != http.StatusServiceUnavailable || time.Since(began) > within {
			return resp
		}
		resp.Body.Close()
	}
}

func (c client) try(method, path, kind, body string) *http.Response {
	c.t.Helper()
	r, err := http.NewRequestWithContext(c.t.Context(), method, c.i.users+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header = c.who.Clone()
	r.Header.Set("Content-Type", kind)
	resp, err := plainly.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	return resp
}

// send sends one and reads the answer.
func (c client) send(method, path, kind, body string) (status int, answer string) {
	c.t.Helper()
	resp := c.do(method, path, kind, body)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// signIn returns a client with the session that a demo user gets, who comes with what
// cookies this one has.
func (c client) signIn(role string, n int) client {
	c.t.Helper()
	form := url.Values{"email": {store.DemoEmail(role, n)}, "password": {store.DemoPassword}}
	resp := c.do(http.MethodPost, "/sign-in", "application/x-www-form-urlencoded", form.Encode())
	defer resp.Body.Close()
	head := http.Header{}
	for _, cookie := range resp.Cookies() {
		head.Add("Cookie", cookie.Name+"="+cookie.Value)
	}
	if resp.StatusCode != http.StatusSeeOther || len(head) == 0 {
		c.t.Fatalf("got status %d with %d cookies; want 303 with some", resp.StatusCode, len(resp.Cookies()))
	}
	return client{c.t, c.i, head}
}

// post sends a form of names and values.
func (c client) post(path string, form ...string) (status int, answer string) {
	c.t.Helper()
	values := url.Values{}
	for i := 0; i < len(form); i += 2 {
		values.Set(form[i], form[i+1])
	}
	return c.send(http.MethodPost, path, "application/x-www-form-urlencoded", values.Encode())
}

func (c client) gps(body string) (status int, answer string) {
	c.t.Helper()
	return c.send(http.MethodPost, "/gps", "application/json", body)
}

// made posts a form that is taken, and reads what came of it.
func (c client) made(v any, path string, form ...string) {
	c.t.Helper()
	status, answer := c.with("Accept", "application/json").post(path, form...)
	if err := json.Unmarshal([]byte(answer), v); status != http.StatusOK || err != nil {
		c.t.Errorf("%s: got %d, %v, %s", path, status, err, answer)
	}
}

// plateOf is the truck of a driver.
func plateOf(c client) string {
	c.t.Helper()
	var got struct{ User store.User }
	_, answer := c.with("Accept", "application/json").send("GET", "/account", "", "")
	if err := json.Unmarshal([]byte(answer), &got); err != nil {
		c.t.Fatalf("%v: %s", err, answer)
	}
	return got.User.Plate
}
