package load

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// within bounds one request.
const within = 30 * time.Second

// errStatus means that an answer is none that was hoped for.
var errStatus = errors.New("load: status")

// A user is a browser or a phone: it keeps cookies, also Secure ones over loopback, as
// browsers do for localhost.
type user struct {
	email, id, role string
	plate           string
	o               *Options
	j               *Journal

	mu      sync.Mutex
	at      int // of o.URLs
	cookies map[string]string
	in      bool // signed in, as far as it was told
}

// base is the instance that the user talks to.
func (u *user) base() string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.o.URLs[u.at%len(u.o.URLs)]
}

// elsewhere goes on to the next instance, as a load balancer would.
func (u *user) elsewhere() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.at++
}

// get reads a page into v.
func (u *user) get(ctx context.Context, path string, v any) error {
	return u.ask(ctx, http.MethodGet, path, "", nil, v)
}

// post sends a form.
func (u *user) post(ctx context.Context, path string, form url.Values, v any) error {
	return u.ask(ctx, http.MethodPost, path, "application/x-www-form-urlencoded", []byte(form.Encode()), v)
}

// ask sends a request until an instance answers: every one may be sent again, since
// forms have a name, a bid is the driver's one, and a position has its time.
func (u *user) ask(ctx context.Context, method, path, kind string, body []byte, v any) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), within) // what is begun is ended: else its outcome is unknown
	defer cancel()
	began := time.Now()
	for {
		status, err := u.once(ctx, method, path, kind, body, v)
		if status == 0 && ctx.Err() == nil { // no instance was there, or it has just ended
			u.elsewhere()
			wait(ctx, 50*time.Millisecond)
			continue
		}
		u.j.answered(outcome(method, status), time.Since(began))
		u.look(status)
		return err
	}
}

func (u *user) once(ctx context.Context, method, path, kind string, body []byte, v any) (int, error) {
	r, err := http.NewRequestWithContext(ctx, method, u.base()+path, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	r.Header.Set("Accept", "application/json")
	if kind != "" {
		r.Header.Set("Content-Type", kind)
	}
	r.Header.Set("Cookie", u.cookie())
	resp, err := u.o.client.Do(r)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err
	}
	u.keep(resp.Cookies())
	if resp.StatusCode >= 300 {
		return resp.StatusCode, fmt.Errorf("%w %d: %s %s: %s", errStatus, resp.StatusCode, method, path, clip(text))
	}
	if v == nil {
		return resp.StatusCode, nil
	}
	if err := json.Unmarshal(text, v); err != nil {
		u.j.Wrong("%s %s answers no JSON: %s", method, path, clip(text))
		return resp.StatusCode, err
	}
	return resp.StatusCode, nil
}

// outcome sorts answers: what a user sees of them is what counts.
func outcome(method string, status int) string {
	switch {
	case status == 0:
		return "no answer"
	case status == http.StatusTooManyRequests:
		return "limited"
	case status >= 500 && method == http.MethodGet:
		return "page 5xx"
	case status == http.StatusServiceUnavailable:
		return "write 503"
	case status >= 500:
		return "write 5xx"
	case status >= 400:
		return "refused"
	}
	return "ok"
}

// look notes a user who was told to sign in although he is.
func (u *user) look(status int) {
	u.mu.Lock()
	out := status == http.StatusUnauthorized && u.in
	if out {
		u.in = false
	}
	u.mu.Unlock()
	if out {
		u.j.loggedOut(u.email)
	}
}

func (u *user) cookie() string {
	u.mu.Lock()
	defer u.mu.Unlock()
	var all []string
	for name, value := range u.cookies {
		all = append(all, name+"="+value)
	}
	return strings.Join(all, "; ")
}

func (u *user) keep(list []*http.Cookie) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, c := range list {
		if c.MaxAge < 0 {
			delete(u.cookies, c.Name)
			continue
		}
		u.cookies[c.Name] = c.Value
	}
}

func clip(text []byte) string { return string(text[:min(len(text), 200)]) }

// newClient keeps connections for that many users.
func newClient(users int) *http.Client {
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport:     &http.Transport{MaxIdleConnsPerHost: users, DialContext: (&net.Dialer{Timeout: time.Second}).DialContext},
	}
}

// wait waits, unless ctx ends first.
func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
