package command_test

import (
	"math"
	"slices"
	"testing"
	"time"
)

func TestTimeout(t *testing.T) {
	type call = []any
	for name, tt := range map[string]struct {
		args  call
		want  time.Duration // -1: does not block
		slice call          // with a time-out of 1.5 s
	}{
		"blpop":              {call{"blpop", "a", "b", 30}, 30 * time.Second, call{"blpop", "a", "b", 1.5}},
		"forever":            {call{"brpop", "a", 0}, 0, call{"brpop", "a", 1.5}},
		"fraction":           {call{"bzpopmin", "a", "0.25"}, 250 * time.Millisecond, call{"bzpopmin", "a", 1.5}},
		"brpoplpush":         {call{"brpoplpush", "a", "b", int64(2)}, 2 * time.Second, call{"brpoplpush", "a", "b", 1.5}},
		"blmove":             {call{"blmove", "a", "b", "left", "right", 2}, 2 * time.Second, call{"blmove", "a", "b", "left", "right", 1.5}},
		"blmovem":            {call{"blmovem", "a", "b", "left", "right", 2, "count", 3}, 2 * time.Second, call{"blmovem", "a", "b", "left", "right", 1.5, "count", 3}},
		"blmpop":             {call{"blmpop", 2.5, 1, "a", "left"}, 2500 * time.Millisecond, call{"blmpop", 1.5, 1, "a", "left"}},
		"bzmpop":             {call{"bzmpop", []byte("2"), 1, "a", "min"}, 2 * time.Second, call{"bzmpop", 1.5, 1, "a", "min"}},
		"xread with block":   {call{"xread", "count", 1, "block", 50, "streams", "a", "$"}, 50 * time.Millisecond, call{"xread", "count", 1, "block", int64(1500), "streams", "a", "$"}},
		"xread without":      {call{"xread", "streams", "block", "$"}, -1, nil},
		"xreadgroup":         {call{"xreadgroup", "group", "block", "9", "BLOCK", 0, "streams", "a", ">"}, 0, call{"xreadgroup", "group", "block", "9", "BLOCK", int64(1500), "streams", "a", ">"}},
		"xreadgroup without": {call{"xreadgroup", "group", "block", "9", "streams", "a", ">"}, -1, nil},
		"ts.read with block": {call{"TS.READ", "k", "$", "BLOCK", 70, 1}, 70 * time.Millisecond, call{"TS.READ", "k", "$", "BLOCK", int64(1500), 1}},
		"ts.read without":    {call{"TS.READ", "k", "block"}, -1, nil},
		"wait":               {call{"wait", 1, 100}, 100 * time.Millisecond, call{"wait", 1, int64(1500)}},
		"waitaof":            {call{"waitAOF", 1, 0, 100}, 100 * time.Millisecond, call{"waitAOF", 1, 0, int64(1500)}},
		"get":                {call{"get", "k"}, -1, nil},
		"no number":          {call{"blpop", "a", "b"}, -1, call{"blpop", "a", 1.5}},
		"negative":           {call{"blpop", "a", -1}, -1, call{"blpop", "a", 1.5}},
		"not a number":       {call{"blpop", "a", "nan"}, -1, call{"blpop", "a", 1.5}},
		"no type of Redis":   {call{"blpop", "a", struct{}{}}, -1, call{"blpop", "a", 1.5}},
		"infinite":           {call{"blpop", "a", "inf"}, -1, call{"blpop", "a", 1.5}},
		"half a millisecond": {call{"wait", 1, 0.5}, -1, call{"wait", 1, int64(1500)}},
		"ages in ms":         {call{"wait", 1, int64(math.MaxInt64)}, math.MaxInt64 / 1_000_000 * 1_000_000, call{"wait", 1, int64(1500)}},
		"beyond all years":   {call{"blpop", "a", "1e30"}, math.MaxInt64, call{"blpop", "a", 1.5}},
		"nothing after it":   {call{"xread", "count", 1, "block"}, -1, nil},
		"too short":          {call{"blmove", "a"}, -1, nil},
	} {
		t.Run(name, func(t *testing.T) {
			c := lookup(t, tt.args)
			got, ok := c.Timeout(tt.args)
			if !ok {
				got = -1
			}
			if got != tt.want || c.Blocking(tt.args) != ok {
				t.Errorf("got %v; want %v", got, tt.want)
			}
			if tt.slice == nil {
				tt.slice = tt.args
			}
			before := slices.Clone(tt.args)
			if got := c.WithTimeout(tt.args, 1500*time.Millisecond); len(got) != len(tt.slice) || !equal(got, tt.slice) {
				t.Errorf("got %v; want %v", got, tt.slice)
			}
			if !equal(tt.args, before) {
				t.Errorf("the caller's arguments were changed to %v", tt.args)
			}
		})
	}
}

// equal compares arguments that need not be comparable.
func equal(a, b []any) bool {
	return slices.EqualFunc(a, b, func(x, y any) bool {
		if p, ok := x.([]byte); ok {
			q, ok := y.([]byte)
			return ok && slices.Equal(p, q)
		}
		return x == y
	})
}

func TestWithTimeoutNeverRoundsToForever(t *testing.T) {
	for d, want := range map[time.Duration][2]any{
		time.Nanosecond:         {0.001, int64(1)},
		time.Millisecond:        {0.001, int64(1)},
		1500 * time.Microsecond: {0.002, int64(2)},
		time.Second:             {int64(1), int64(1000)}, // before 6.0 only whole seconds
		0:                       {int64(0), int64(0)},
		-time.Second:            {int64(0), int64(0)},
	} {
		pop, read := split("blpop a 0"), split("xread block 0 streams a $")
		if got := lookup(t, pop).WithTimeout(pop, d)[2]; got != want[0] {
			t.Errorf("blpop, %v: got %v; want %v", d, got, want[0])
		}
		if got := lookup(t, read).WithTimeout(read, d)[2]; got != want[1] {
			t.Errorf("xread, %v: got %v; want %v", d, got, want[1])
		}
	}
}
