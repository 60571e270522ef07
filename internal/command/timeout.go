package command

import (
	"math"
	"slices"
	"strconv"
	"time"
)

// Timeout returns how long a blocking call waits, 0 meaning forever, and false
// if the call does not block: XREAD without BLOCK, or a time-out that the server
// would refuse.
func (c *Command) Timeout(args []any) (time.Duration, bool) {
	at := c.timeoutAt(args)
	if at == 0 {
		return 0, false
	}
	if c.wait.unit == time.Millisecond {
		n, ok := integer(args[at])
		return time.Duration(min(n, math.MaxInt64/int64(time.Millisecond))) * time.Millisecond, ok && n >= 0
	}
	n, ok := seconds(args[at])
	if n *= float64(time.Second); n >= math.MaxInt64 {
		return math.MaxInt64, ok
	}
	return time.Duration(n), ok
}

// WithTimeout returns a copy of a blocking call's arguments that waits for d. It
// is rounded up to a millisecond, the server's finest: a slice of a longer wait
// must never come out as 0, which is forever. That is also what a d of 0 or less
// means. A call that does not block is returned as it is.
func (c *Command) WithTimeout(args []any, d time.Duration) []any {
	at := c.timeoutAt(args)
	if at == 0 {
		return args
	}
	ms := max(int64(d/time.Millisecond), 0)
	if d > 0 && d%time.Millisecond != 0 {
		ms++
	}
	args = slices.Clone(args)
	switch {
	case c.wait.unit == time.Millisecond:
		args[at] = ms
	case ms%1000 == 0:
		args[at] = ms / 1000 // servers before 6.0 take whole seconds only
	default:
		args[at] = float64(ms) / 1000
	}
	return args
}

// timeoutAt returns the position of the time-out, or 0 if there is none.
func (c *Command) timeoutAt(args []any) int {
	at := c.wait.at
	switch {
	case c.quirk == streams:
		at, _ = scanStreams(args)
	case c.quirk == tsRead:
		if at = findWord(args, 3, "block"); at > 0 {
			at++
		}
	case at < 0:
		at += len(args)
	}
	if at <= 0 || at >= len(args) || c.wait.unit == 0 {
		return 0
	}
	return at
}

// seconds reads a float of at least 0; what go-redis itself puts there costs
// nothing.
func seconds(arg any) (n float64, ok bool) {
	switch v := arg.(type) {
	case int64:
		n = float64(v)
	case float64:
		n = v
	default:
		s, err := text(arg)
		if err != nil {
			return 0, false
		}
		if n, err = strconv.ParseFloat(s, 64); err != nil {
			return 0, false
		}
	}
	if math.IsNaN(n) || math.IsInf(n, 0) || n < 0 {
		return 0, false
	}
	return n, true
}
