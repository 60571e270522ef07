package ratelimit

import (
	"errors"
	"fmt"
	"regexp"
	"time"
)

// ErrPolicy means that a policy cannot be carried out; the error that wraps it
// names policy and field.
var ErrPolicy = errors.New("bad policy")

// An Algorithm says how a policy counts.
type Algorithm uint8

const (
	// Window counts in fixed windows, as ulule/limiter does: the first unit begins
	// one, and when it has ended everything is free again. Two windows' worth can
	// pass in a moment, at the end of one and the beginning of the next.
	Window Algorithm = iota
	// GCRA frees units one by one, evenly, and lets Burst of them pass at once: what
	// a leaky bucket does, in one number. No moment has more than the Burst.
	GCRA
)

// An Outage says what a policy decides by while Redis does not answer.
type Outage uint8

const (
	// LocalShare lets each instance grant its share of what was left when Redis was
	// last heard: see the package's comment for how much that is.
	LocalShare Outage = iota
	// Deny refuses everything: for log-in, one-time passwords, text messages, and
	// whatever else costs money or accounts.
	Deny
	// Allow lets everything pass, without any limit.
	Allow
)

// The bounds of a Policy. Lua and Redis share whole numbers up to 2^53; with these
// no sum of a window comes near, and GCRA's steps stay far above its microsecond.
const (
	maxLimit = 1_000_000_000_000
	minPer   = 100 * time.Millisecond
	maxPer   = 366 * 24 * time.Hour
	minStep  = 10 * time.Microsecond
)

// A Policy is one limit.
type Policy struct {
	// Name tells it apart from the Limiter's other ones: 1 to 32 lower-case letters,
	// digits, '-' and '_'. It is part of the key in Redis, of headers and metrics.
	Name string
	// Limit is how many units may be taken in Per; 1 to 10^12.
	Limit int64
	// Per is the period; 100ms to 366 days.
	Per time.Duration
	// Algorithm says how it is counted. The default is Window.
	Algorithm Algorithm
	// Burst is how many units GCRA lets pass at once. The default is Limit. A Window
	// has none.
	Burst int64
	// OnOutage says what happens while Redis does not answer. The default is
	// LocalShare.
	OnOutage Outage
}

var nameForm = regexp.MustCompile(`^[a-z0-9_-]{1,32}$`)

// Validate reports every fault of a policy at once.
func (p Policy) Validate() (err error) {
	bad := func(when bool, format string, args ...any) {
		if when {
			err = errors.Join(err, fmt.Errorf("%w %q: "+format, append([]any{ErrPolicy, p.Name}, args...)...))
		}
	}
	bad(!nameForm.MatchString(p.Name), "Name: want 1 to 32 of a-z, 0-9, '-' and '_'")
	bad(p.Limit < 1 || p.Limit > maxLimit, "Limit: %d is not between 1 and %d", p.Limit, int64(maxLimit))
	bad(p.Per < minPer || p.Per > maxPer, "Per: %v is not between %v and %v", p.Per, minPer, maxPer)
	bad(p.Algorithm > GCRA, "Algorithm: want Window or GCRA")
	bad(p.OnOutage > Allow, "OnOutage: want LocalShare, Deny or Allow")
	bad(p.Algorithm == Window && p.Burst != 0, "Burst: a Window has none; want Algorithm: GCRA")
	bad(p.Burst < 0 || p.Burst > maxLimit, "Burst: %d is not between 1 and %d", p.Burst, int64(maxLimit))
	bad(p.Algorithm == GCRA && p.Limit > 0 && p.Per/time.Duration(p.Limit) < minStep,
		"Limit: GCRA frees a unit each %v at most; use a Window", minStep)
	return err
}

// A rule is a policy as it is carried out.
type rule struct {
	Policy
	most   int64   // units that can be had at once
	step   float64 // ns until GCRA frees the next unit
	suffix string  // of its keys
	args   [4]any  // what scripts are told of it: made once, since each any is an allocation
	alone  *script // where it is the only one, and nothing else is asked
	short  []any   // what that is told
	counts *counts
}

func newRule(p Policy, suffix string) *rule {
	r := &rule{Policy: p, most: p.Limit, suffix: suffix, alone: windowScript, counts: &counts{}}
	kind, per := "w", p.Per.Milliseconds()
	if p.Algorithm == GCRA {
		kind, per = "g", p.Per.Microseconds()
		r.step = float64(p.Per) / float64(p.Limit)
		r.suffix += ":tat" // of another type than a window's: a policy may change its algorithm
		if p.Burst > 0 {
			r.most = p.Burst
		}
	}
	r.args = [4]any{kind, p.Limit, per, r.most}
	if r.short = r.args[1:3]; p.Algorithm == GCRA {
		r.alone, r.short = gcraScript, r.args[1:4]
	}
	return r
}
