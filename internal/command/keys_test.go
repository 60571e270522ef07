package command_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/transload/transload/internal/command"
)

// split makes a call of a line of words.
func split(line string) []any {
	var args []any
	for word := range strings.FieldsSeq(line) {
		args = append(args, word)
	}
	return args
}

func lookup(t *testing.T, args []any) *command.Command {
	t.Helper()
	c, ok := command.Lookup(args)
	if !ok {
		t.Fatalf("%v: not found", args)
	}
	return c
}

// TestKeys shows the shapes; the live server is asked about all of them. The
// newer commands are here because no server at hand has them.
func TestKeys(t *testing.T) {
	for line, want := range map[string]struct{ keys, written string }{
		"get k":                                 {"k", ""},
		"set k v":                               {"k", "k"},
		"GetDel k":                              {"k", "k"},
		"mset a 1 b 2":                          {"a b", "a b"},
		"sunionstore d a b":                     {"d a b", "d"},
		"rename a b":                            {"a b", "a b"},
		"copy a b":                              {"a b", "b"},
		"smove a b m":                           {"a b", "a b"},
		"pfcount a b":                           {"a b", "a b"},
		"pfmerge d":                             {"d", "d"},
		"object encoding k":                     {"k", ""},
		"XGROUP CREATE k g $":                   {"k", "k"},
		"zunion 2 a b weights 1 2":              {"a b", ""},
		"zunionstore d 2 a b":                   {"d a b", "d"},
		"lmpop 2 a b left":                      {"a b", "a b"},
		"blmpop 0.5 1 a left":                   {"a", "a"},
		"blpop a b 0":                           {"a b", "a b"},
		"eval body 2 a b x":                     {"a b", "a b"},
		"eval body 0 x":                         {"", ""},
		"eval_ro body 1 a x":                    {"a", ""},
		"xread count 1 streams a b 0 0":         {"a b", ""},
		"xread block 0 newoption 1 streams a 0": {"a", ""},
		"xreadgroup group streams c streams a b > >": {"a b", "a b"},
		"sort k":                                   {"k", ""},
		"sort k by store limit 0 1 get #":          {"k", ""},
		"sort k get store store d":                 {"k d", "d"},
		"sort k store a store b":                   {"k b", "b"},
		"sort_ro k by w_*":                         {"k", ""},
		"georadius k 1 2 3 km":                     {"k", ""},
		"georadius k 1 2 3 km store a storedist b": {"k b", "b"},
		"georadiusbymember k store 3 km":           {"k", ""},
		"bitfield k get u8 0":                      {"k", ""},
		"bitfield k get u8 0 set u8 0 1":           {"k", "k"},
		"publish ch m":                             {"", ""},
		"spublish ch m":                            {"", ""},
		"flushall":                                 {"", ""},

		// Newer than the table's server.
		"hexpire k 9 fields 1 f":                   {"k", "k"},
		"httl k fields 1 f":                        {"k", ""},
		"hgetex k fields 1 f":                      {"k", "k"},
		"msetex 2 a 1 b 2 ex 9":                    {"a b", "a b"},
		"sunioncard 2 a b limit 0":                 {"a b", ""},
		"blmovem a b left right 0 count 1":         {"a b", "a b"},
		"vsim k ele e":                             {"k", ""},
		"json.mget a b $":                          {"a b", ""},
		"JSON.MSET a $ 1 b $ 2":                    {"a b", "a b"},
		"json.debug memory k $":                    {"k", ""},
		"ts.madd a 1 2 b 1 2":                      {"a b", "a b"},
		"cms.merge d 2 a b weights 1 2":            {"d a b", "d"},
		"xreadgroup group g c claim 9 streams a >": {"a", "a"},
	} {
		t.Run(line, func(t *testing.T) {
			args := split(line)
			c := lookup(t, args)
			keys, err := c.AppendKeys([]string{"before"}, args)
			if got := strings.Join(keys, " "); err != nil || got != strings.TrimSpace("before "+want.keys) {
				t.Errorf("got keys %q, %v; want %q after what was there", got, err, want.keys)
			}
			written, err := c.AppendWritten(nil, args)
			if got := strings.Join(written, " "); err != nil || got != want.written {
				t.Errorf("got written %q, %v; want %q", got, err, want.written)
			}
		})
	}
}

func TestMalformedArguments(t *testing.T) {
	for _, args := range [][]any{
		split("get"),
		split("set k"),
		split("eval body"),
		split("eval body x a"),
		split("eval body 2 a"),
		split("eval body -1 a"),
		split("eval body +1 a"),
		split("eval body 01 a"),
		split("eval body 9223372036854775807 a"),
		split("zunion 0 a"),
		split("zunion 3 a b"),
		split("msetex 3 a 1 b 2"),
		split("xread count 1 streams a b 0"),
		split("xread count 1 a"),
		split("xread a b streams"),
		{"get", struct{}{}},
		{"get", time.UTC},
		{"eval", "body", 1.5, "a"},
		{"zunion", []string{"2"}, "a", "b"},
	} {
		c := lookup(t, args)
		if keys, err := c.AppendKeys(nil, args); !errors.Is(err, command.ErrArgs) || !strings.Contains(err.Error(), c.Name) {
			t.Errorf("%v: got %q, %v; want ErrArgs that names the command", args, keys, err)
		}
	}
}

func TestKeysOfOtherTypes(t *testing.T) {
	n := 7
	for want, arg := range map[string]any{
		"k":  []byte("k"),
		"1":  int64(1),
		"-2": int8(-2),
		"7":  &n,
		"":   nil,
	} {
		args := []any{[]byte("EVAL"), "body", uint16(1), arg}
		if got, err := lookup(t, args).AppendKeys(nil, args); err != nil || !slices.Equal(got, []string{want}) {
			t.Errorf("%T: got %q, %v; want %q", arg, got, err, want)
		}
	}
}

// FuzzAppendKeys looks for a panic, for keys that are no arguments, and for
// written keys that are not among the keys.
func FuzzAppendKeys(f *testing.F) {
	for _, line := range []string{
		"get k", "eval b 2 a b", "xread block 1 streams a b 0 0", "sort k by x get y store d", "zunionstore d 2 a b",
		"georadius k 1 2 3 km store d", "bitfield k set u8 0 1", "msetex 2 a 1 b 2", "json.mget a b $", "xgroup create k g $ mkstream", "copy a b db 1",
	} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		args := split(line)
		c, ok := command.Lookup(args)
		if !ok {
			return
		}
		c.Undeclared(args)
		c.Refusal(args)
		c.WithTimeout(args, time.Second)
		keys, err := c.AppendKeys(nil, args)
		if err != nil {
			return
		}
		for _, k := range keys {
			if !slices.Contains(args[1:], any(k)) {
				t.Fatalf("%q: key %q is no argument", args, k)
			}
		}
		written, err := c.AppendWritten(nil, args)
		if err != nil {
			t.Fatalf("%q: written: %v, but keys %q", args, err, keys)
		}
		for _, k := range written {
			if !slices.Contains(keys, k) {
				t.Fatalf("%q: written %q is not among the keys %q", args, k, keys)
			}
		}
		if c.Route(args, len(keys)) == 0 {
			t.Fatalf("%q: no class", args)
		}
	})
}

// benchmarks are calls of the shapes that apps send most.
var benchmarks = map[string][]any{
	"get":        {"get", "session:{4f2a}:data"},
	"GET":        {"GET", "session:{4f2a}:data"},
	"set ex":     {"set", "k", "v", "ex", 60},
	"mget 3":     {"mget", "a", "b", "c"},
	"evalsha":    {"evalsha", "da39a3ee5e6b4b0d3255bfef95601890afd80709", 2, "a", "b", "x"},
	"xgroup":     {"xgroup", "create", "k", "g", "$"},
	"xreadgroup": {"xreadgroup", "group", "g", "c", "block", 1000, "streams", "k", ">"},
}

func sum(args []any) (n int) {
	var room [8]string
	c, ok := command.Lookup(args)
	if !ok {
		return 0
	}
	keys, err := c.AppendKeys(room[:0], args)
	if err != nil {
		return 0
	}
	for _, k := range keys {
		n += int(command.Slot(k))
	}
	if c.Write(args) && !c.Blocking(args) && c.Refusal(args) == "" {
		keys, _ = c.AppendWritten(keys[:0], args)
		n += len(keys)
	}
	return n + int(c.Route(args, len(keys)))
}

func TestNothingIsAllocated(t *testing.T) {
	for name, args := range benchmarks {
		if got := testing.AllocsPerRun(100, func() { sum(args) }); got != 0 {
			t.Errorf("%s: got %v allocations; want 0", name, got)
		}
	}
}

func BenchmarkRoute(b *testing.B) {
	for name, args := range benchmarks {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				sum(args)
			}
		})
	}
}

func ExampleCommand_AppendWritten() {
	args := []any{"sunionstore", "all", "a", "b"}
	c, _ := command.Lookup(args)
	keys, _ := c.AppendKeys(nil, args)
	written, _ := c.AppendWritten(nil, args)
	fmt.Println(c.Class, keys, written)
	// Output: keyed [all a b] [all]
}
