package command_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/transload/transload/internal/command"
	"github.com/transload/transload/internal/redisproc"
	"github.com/transload/transload/internal/redistest"
)

// What the server says of a command, read without the generator's help.
type said struct {
	name              string
	arity             int64
	flags             []any
	first, last, step int64
	container         bool
}

func (s said) is(flag string) bool { return slices.Contains(s.flags, any(flag)) }

func serverCommands(reply any) (all []said) {
	for _, e := range reply.([]any) {
		f := e.([]any)
		all = append(all, said{
			name: strings.ToLower(f[0].(string)), arity: f[1].(int64), flags: f[2].([]any),
			first: f[3].(int64), last: f[4].(int64), step: f[5].(int64),
			container: len(f[9].([]any)) > 0,
		})
		all = append(all, serverCommands(f[9])...)
	}
	return all
}

func TestTableKnowsTheServer(t *testing.T) {
	s := redistest.Standalone(t, redistest.Options{})
	for _, want := range serverCommands(redistest.Do(t, s, "COMMAND")) {
		args := callOf(want)
		if want.container {
			args = args[:1]
		}
		c, ok := command.Lookup(args)
		if !ok || c.Name != want.name {
			t.Errorf("%s is not in the table: run go generate", want.name)
			continue
		}
		if int64(c.Arity) != want.arity {
			t.Errorf("%s: got arity %d; want %d", c.Name, c.Arity, want.arity)
		}
		if want.is("write") && !c.Write(writing(c.Name, args)) {
			t.Errorf("%s: got a read; the server says write", c.Name)
		}
		if want.is("write") && c.Class == command.AnySide {
			t.Errorf("%s: a write may not go to any side", c.Name)
		}
		if !want.container {
			checkLegacyKeys(t, c, args, want)
		}
	}
}

// callOf makes up a call with just enough arguments, words that differ.
func callOf(s said) []any {
	var args []any
	for word := range strings.SplitSeq(s.name, "|") {
		args = append(args, word)
	}
	for len(args) < int(max(s.arity, -s.arity)) {
		args = append(args, fmt.Sprintf("a%d", len(args)))
	}
	return args
}

// writing gives the commands that write only with some option that option.
func writing(name string, args []any) []any {
	switch name {
	case "bitfield":
		return append(args, "set", "u8", 0, 1)
	case "sort", "georadius", "georadiusbymember":
		return append(args, "store", "dst")
	}
	return args
}

// checkLegacyKeys holds the keys against the positions that servers have given
// since 2.8, which say all of the commands that are not marked movablekeys.
func checkLegacyKeys(t *testing.T, c *command.Command, args []any, s said) {
	t.Helper()
	if s.is("movablekeys") || s.name == "pfmerge" || s.name == "publish" || s.name == "spublish" || strings.Contains(s.name, "subscribe") {
		return // movable, or a channel, which older servers gave as a key
	}
	var want []string
	if last := s.last; s.first > 0 {
		if last < 0 {
			last += int64(len(args))
		}
		for i := s.first; i <= last; i += s.step {
			want = append(want, args[i].(string))
		}
	}
	if got, err := c.AppendKeys(nil, args); err != nil || !slices.Equal(got, want) {
		t.Errorf("%v: got keys %q, %v; want %q", args, got, err, want)
	}
}

// words that mean something to some command, and others.
var words = []string{
	"a", "b", "c", "d{x}", "", "1", "2", "3", "4", "0", "-1", "#", "w_*", "nosort",
	"STORE", "storedist", "BY", "GET", "limit", "ALPHA", "DESC", "SET", "incrby", "overflow", "u8", "WITHSCORES", "WEIGHTS", "AGGREGATE",
	"STREAMS", "count", "BLOCK", "GROUP", "noack", "KEYS", "LEFT", "MIN", "DB", "REPLACE",
}

// TestKeysAreThoseOfTheServer makes up calls of every command that has keys, most
// of them nonsense, and asks the server for their keys and what becomes of them.
func TestKeysAreThoseOfTheServer(t *testing.T) {
	s := redistest.Standalone(t, redistest.Options{})
	conn := redistest.Conn(t, s)
	known := map[string]bool{}
	for _, c := range serverCommands(redistest.Do(t, s, "COMMAND")) {
		known[c.name] = true
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	calls := 0
	for c := range command.All() {
		if c.Class != command.Keyed || !known[c.Name] {
			continue
		}
		for range 300 {
			args := sensible(rnd, c.Name)
			if args == nil {
				args = randomCall(rnd, c)
			}
			checkKeys(t, conn, c, args)
			calls++
		}
	}
	t.Logf("%d calls", calls)
}

func randomCall(rnd *rand.Rand, c *command.Command) []any {
	var args []any
	for word := range strings.SplitSeq(c.Name, "|") {
		args = append(args, word)
	}
	n := max(c.Arity, -c.Arity)
	if c.Arity < 0 {
		n += rnd.IntN(9)
	}
	for len(args) < n {
		args = append(args, words[rnd.IntN(len(words))])
	}
	return args
}

// sensible makes up a call that the server would run, of the commands that look
// for a keyword: of nonsense, its COMMAND GETKEYS makes more than it does itself.
func sensible(rnd *rand.Rand, name string) []any {
	some := func(list ...any) []any { return list[:rnd.IntN(2)*len(list)] }
	word := func() any { return words[rnd.IntN(len(words))] }
	store := []any{"STORE", "storeDist"}[rnd.IntN(2)]
	n := rnd.IntN(4) + 1
	pairs := make([]any, 2*n)
	for i := range pairs {
		pairs[i] = word()
	}
	switch name {
	case "xread":
		return slices.Concat([]any{name}, some("COUNT", "2"), some("block", "5"), []any{"Streams"}, pairs)
	case "xreadgroup":
		return slices.Concat([]any{name, "GROUP", word(), word()}, some("NOACK"), some("COUNT", "3"), some("BLOCK", "0"), []any{"STREAMS"}, pairs)
	case "georadius":
		return slices.Concat([]any{name, word(), "1", "2", "3", "km"}, some("WITHDIST"), some("COUNT", "1"), some(store, "dst{x}"))
	case "georadiusbymember":
		return slices.Concat([]any{name, word(), "store", "3", "km"}, some("ASC"), some(store, "dst{x}"), some("COUNT", "1"))
	}
	return nil
}

// checkKeys compares with COMMAND GETKEYSANDFLAGS. What the server refuses, we
// refuse or find no key in.
func checkKeys(t *testing.T, conn *redisproc.Conn, c *command.Command, args []any) {
	t.Helper()
	ask := []string{"COMMAND", "GETKEYSANDFLAGS"}
	for _, a := range args {
		ask = append(ask, a.(string))
	}
	reply, err := conn.Do(t.Context(), ask...)
	var refused redisproc.ReplyError
	if err != nil && !errors.As(err, &refused) {
		t.Fatal(err)
	}
	keys, keyErr := c.AppendKeys(nil, args)
	if err != nil {
		if keyErr == nil && len(keys) > 0 && (c.Name != "pfmerge" || len(args) > 2) { // it may have no source
			t.Errorf("%q: got %q; want what the server says: %v", args, keys, err)
		}
		return
	}
	var want, wantWritten []string
	for _, k := range reply.([]any) {
		key, flags := k.([]any)[0].(string), k.([]any)[1].([]any)
		want = append(want, key)
		if !slices.Contains(flags, any("RO")) || c.Name == "xreadgroup" {
			wantWritten = append(wantWritten, key)
		}
	}
	if len(want) == 0 && errors.Is(keyErr, command.ErrArgs) {
		return // EVAL s x: no keys for COMMAND GETKEYS, an error once it is run
	}
	if keyErr != nil || !slices.Equal(keys, want) {
		t.Errorf("%q: got keys %q, %v; want %q", args, keys, keyErr, want)
	}
	if !c.Write(args) {
		wantWritten = nil
	}
	if got, err := c.AppendWritten(nil, args); err != nil || !slices.Equal(got, wantWritten) {
		t.Errorf("%q: got written %q, %v; want %q", args, got, err, wantWritten)
	}
}
