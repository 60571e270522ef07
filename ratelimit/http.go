package ratelimit

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// A MiddlewareOption changes what Middleware makes.
type MiddlewareOption func(*middleware) error

type middleware struct {
	l       *Limiter
	proxies Proxies
	by      func(*http.Request) string
	cost    func(*http.Request) int64
	only    TakeOption
	x       bool
	rules   []*rule
	policy  string // the header RateLimit-Policy, which is always the same
}

// BehindProxies trusts proxies to say for whom they ask: see Proxies.Client. The
// default is to trust nobody.
func BehindProxies(p Proxies) MiddlewareOption {
	return func(m *middleware) error { m.proxies = p; return nil }
}

// By limits requests by what f returns: a user, a key of the API. Where that is empty
// the address is limited. The default is the address, see AddressSubject. f must not
// return what the client may choose freely, or each request has a budget of its own.
func By(f func(*http.Request) string) MiddlewareOption {
	return func(m *middleware) error { m.by = f; return nil }
}

// Costing has requests cost what f returns, in units; what is less than 1 counts as 1.
// The default is 1.
func Costing(f func(*http.Request) int64) MiddlewareOption {
	return func(m *middleware) error { m.cost = f; return nil }
}

// Asking asks some of the policies, by name. The default is all of them.
func Asking(policies ...string) MiddlewareOption {
	return func(m *middleware) error { m.only = Only(policies...); return nil }
}

// XHeaders adds X-RateLimit-Limit, -Remaining and -Reset (seconds since 1970), as
// ulule's middlewares set them. The default is not to.
func XHeaders() MiddlewareOption {
	return func(m *middleware) error { m.x = true; return nil }
}

// Middleware limits requests. Every response tells RateLimit and RateLimit-Policy
// (draft-ietf-httpapi-ratelimit-headers-11). Who is over the limit gets 429 with
// Retry-After and a problem+json body that names the policies; where a policy denies
// only because Redis does not answer, 503. Neither is to be cached.
func (l *Limiter) Middleware(opts ...MiddlewareOption) (func(http.Handler) http.Handler, error) {
	m := &middleware{l: l}
	var err error
	for _, o := range opts {
		if o == nil {
			err = errors.Join(err, fmt.Errorf("%w: a MiddlewareOption is nil", ErrOption))
			continue
		}
		err = errors.Join(err, o(m))
	}
	q := &query{rules: l.rules}
	if m.only != nil {
		err = errors.Join(err, m.only(l, q))
	}
	if err != nil {
		return nil, fmt.Errorf("ratelimit: middleware: %w", err)
	}
	m.rules = q.rules
	var items []string
	for _, r := range q.rules {
		items = append(items, fmt.Sprintf("%q;q=%d;w=%d", r.Name, r.Limit, seconds(r.Per)))
	}
	m.policy = strings.Join(items, ", ")
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { m.serve(w, r, next) })
	}, nil
}

func (m *middleware) serve(w http.ResponseWriter, r *http.Request, next http.Handler) {
	var opts []TakeOption
	if m.only != nil {
		opts = append(opts, m.only)
	}
	cost := int64(1)
	if m.cost != nil {
		cost = max(1, m.cost(r))
		opts = append(opts, Cost(cost))
	}
	d, err := m.l.Take(r.Context(), m.subject(r), opts...)
	switch {
	case errors.Is(err, ErrCost):
		w.Header().Set("RateLimit-Policy", m.policy)
		m.never(cost).write(w)
		return
	case err != nil: // the client has gone
		problem{Type: reducedCapacity, Title: reducedTitle, Status: http.StatusServiceUnavailable}.write(w)
		return
	}
	m.headers(w.Header(), d)
	if d.Allowed {
		next.ServeHTTP(w, r)
		return
	}
	w.Header().Set("Retry-After", strconv.FormatInt(seconds(d.RetryAfter), 10))
	problemOf(d).write(w)
}

func (m *middleware) subject(r *http.Request) string {
	if m.by != nil {
		if s := m.by(r); s != "" {
			return s
		}
	}
	return AddressSubject(m.proxies.Client(r))
}

func (m *middleware) headers(h http.Header, d Decision) {
	b := make([]byte, 0, 64)
	for i, s := range d.Each {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = strconv.AppendQuote(b, s.Policy)
		b = strconv.AppendInt(append(b, ";r="...), s.Remaining, 10)
		b = strconv.AppendInt(append(b, ";t="...), ceilSeconds(s.ResetAfter), 10)
	}
	h.Set("RateLimit", string(b)) // as Go spells it, Ratelimit: names know no case
	h.Set("RateLimit-Policy", m.policy)
	if m.x {
		h.Set("X-RateLimit-Limit", strconv.FormatInt(d.Limit, 10))
		h.Set("X-RateLimit-Remaining", strconv.FormatInt(d.Remaining, 10))
		h.Set("X-RateLimit-Reset", strconv.FormatInt(time.Now().Add(d.ResetAfter).Unix(), 10))
	}
}

// The problem types of the draft.
const (
	quotaExceeded   = "https://iana.org/assignments/http-problem-types#quota-exceeded"
	reducedCapacity = "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity"
	quotaTitle      = "Request cannot be satisfied as assigned quota has been exceeded"
	neverTitle      = "Request asks for more than its quota ever allows"
	reducedTitle    = "Request cannot be satisfied due to temporary server capacity constraints"
)

type problem struct {
	Type     string   `json:"type"`
	Title    string   `json:"title"`
	Status   int      `json:"status"`
	Violated []string `json:"violated-policies,omitempty"`
}

// problemOf says who denies. A policy that has a share of its own in an outage and has
// used it up is a quota; one that denies all is not.
func problemOf(d Decision) problem {
	p := problem{Type: quotaExceeded, Title: quotaTitle, Status: http.StatusTooManyRequests}
	for _, s := range d.Each {
		if !s.Denied {
			continue
		}
		p.Violated = append(p.Violated, s.Policy)
		if d.Source == FromOutage && s.ResetAfter == 0 {
			p.Type, p.Title, p.Status = reducedCapacity, reducedTitle, http.StatusServiceUnavailable
		}
	}
	return p
}

// never names the policies that a request costs more of than they ever have. It gets no
// Retry-After (RFC 6585: MAY), which would have it come back for nothing.
func (m *middleware) never(cost int64) problem {
	p := problem{Type: quotaExceeded, Title: neverTitle, Status: http.StatusTooManyRequests}
	for _, r := range m.rules {
		if cost > r.most {
			p.Violated = append(p.Violated, r.Name)
		}
	}
	return p
}

func (p problem) write(w http.ResponseWriter) {
	body, err := json.Marshal(p)
	if err != nil { // strings and a number
		body = []byte("{}")
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(p.Status)
	_, _ = w.Write(body) // the client has gone
}

// seconds rounds up, to 1 at least: who comes back too early is denied again.
func seconds(d time.Duration) int64 { return max(1, ceilSeconds(d)) }

func ceilSeconds(d time.Duration) int64 { return int64(math.Ceil(d.Seconds())) }
