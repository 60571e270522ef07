package ratelimit

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"time"
)

var (
	// ErrSubject means that there is nobody to limit: the subject is empty.
	ErrSubject = errors.New("the subject is empty")
	// ErrCost means that units were asked for that no waiting will bring: none, or
	// more than a policy can ever have at once.
	ErrCost = errors.New("bad cost")
	// ErrUnknownPolicy means that Only names a policy that New was not given.
	ErrUnknownPolicy = errors.New("unknown policy")
)

// remember is for how long a request id is known: longer than a client goes on
// trying, and short, since each is a key.
const remember = time.Minute

// A query is one call of the app's, made out.
type query struct {
	id      id
	tag     string // of the subject's keys
	circuit int
	rules   []*rule
	cost    int64
	first   string // the first policy's key, of which tag is the beginning
	name    string // of the request; empty for none
	request string // the suffix of its key
	always  bool   // what is denied is counted too
	until   int64  // when the one window ends, as far as that is certain; else 0
}

// A TakeOption changes one call.
type TakeOption func(*Limiter, *query) error

// Cost says how many units a call is about; 1 or more, and no more than the limit of
// any policy. The default is 1.
func Cost(units int64) TakeOption {
	return func(_ *Limiter, q *query) error {
		q.cost = units
		return nil
	}
}

// ReqID names the request, so that it is counted once however often it is sent: by
// the app's client after a lost answer, or by go-redis. An id is known for a minute,
// and belongs to the subject and the policies that it was taken from: asked of others
// it counts there. It may be of any length, and costs Redis a key. An empty one is
// none, which is the default: then a call is sent once at most. Ids are Redis's: what is
// decided without it counts each time.
func ReqID(name string) TakeOption {
	return func(_ *Limiter, q *query) error {
		q.name = name
		return nil
	}
}

// Only asks some of the policies, by name. The default is all of them.
func Only(policies ...string) TakeOption {
	return func(l *Limiter, q *query) error {
		q.rules = make([]*rule, 0, len(policies))
		for _, name := range policies {
			i := slices.IndexFunc(l.rules, func(r *rule) bool { return r.Name == name })
			if i < 0 {
				return fmt.Errorf("%w %q: New was not given it", ErrUnknownPolicy, name)
			}
			if !slices.Contains(q.rules, l.rules[i]) {
				q.rules = append(q.rules, l.rules[i])
			}
		}
		if len(q.rules) == 0 {
			return fmt.Errorf("%w: Only names none", ErrUnknownPolicy)
		}
		return nil
	}
}

// query makes a call out. What is wrong with it is a mistake of the app's.
func (l *Limiter) query(subject string, opts []TakeOption) (*query, error) {
	if subject == "" {
		return nil, ErrSubject
	}
	q := &query{rules: l.rules, cost: 1}
	for _, o := range opts {
		if o == nil {
			return nil, fmt.Errorf("%w: a TakeOption is nil", ErrOption)
		}
		if err := o(l, q); err != nil {
			return nil, err
		}
	}
	for _, r := range q.rules {
		if q.cost < 1 || q.cost > r.most && !q.always {
			return nil, fmt.Errorf("%w: %d is not between 1 and %d, which is all that policy %q has", ErrCost, q.cost, r.most, r.Name)
		}
	}
	if q.name != "" {
		q.request = requestKey(q)
	}
	l.address(q, subject)
	return q, nil
}

// requestKey is the suffix of a request's key. No policy's name has the byte that
// parts them from the request's.
func requestKey(q *query) string {
	var text []byte
	for _, r := range q.rules {
		text = append(text, r.suffix...)
	}
	sum := hash(string(append(append(text, 0), q.name...)))
	return ":r:" + base64.RawURLEncoding.EncodeToString(sum[:])
}

// address says where a subject's keys are. Subjects are hashed: they come from
// headers, of any length and number of braces, and may be secrets.
func (l *Limiter) address(q *query, subject string) {
	q.id = hash(subject)
	buf := make([]byte, 0, 64)
	buf = append(buf, "rl:{"...)
	if l.namespace != "" {
		buf = append(append(buf, l.namespace...), ':')
	}
	buf = append(base64.RawURLEncoding.AppendEncode(buf, q.id[:]), '}')
	n := len(buf)
	if len(q.rules) > 0 {
		buf = append(buf, q.rules[0].suffix...)
	}
	q.first = string(buf)
	q.tag = q.first[:n]
	q.circuit = circuitOf(q.tag)
}

// hash is half of SHA-256: nobody finds two subjects that share it.
func hash(s string) (k id) {
	var buf [128]byte
	sum := sha256.Sum256(append(buf[:0], s...))
	copy(k[:], sum[:])
	return k
}

// keys appends the query's keys to a call's arguments, behind their number.
func (q *query) keys(args []any) []any {
	n := len(q.rules)
	if q.request != "" {
		n++
	}
	args = append(args, n, q.first)
	for _, r := range q.rules[1:] {
		args = append(args, q.tag+r.suffix)
	}
	if q.request != "" {
		args = append(args, q.tag+q.request)
	}
	return args
}
