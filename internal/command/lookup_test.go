package command_test

import (
	"strings"
	"testing"

	"github.com/transload/transload/internal/command"
)

func TestLookup(t *testing.T) {
	type named string
	for name, tt := range map[string]struct {
		args []any
		want string // "": not found
	}{
		"lower case":                 {[]any{"get", "k"}, "get"},
		"upper case":                 {[]any{"GET", "k"}, "get"},
		"mixed case":                 {[]any{"waitAOF", 1, 0, 0}, "waitaof"},
		"bytes":                      {[]any{[]byte("Get"), "k"}, "get"},
		"subcommand":                 {[]any{"Client", "SetName", "x"}, "client|setname"},
		"subcommand in bytes":        {[]any{"client", []byte("id")}, "client|id"},
		"container alone":            {[]any{"command"}, "command"},
		"unknown subcommand":         {[]any{"client", "nosuch"}, ""},
		"with the bar":               {[]any{"client|id"}, ""},
		"unknown":                    {[]any{"nosuch", "k"}, ""},
		"longer than any":            {[]any{strings.Repeat("x", 100)}, ""},
		"nothing":                    {nil, ""},
		"empty":                      {[]any{""}, ""},
		"no name at all":             {[]any{7, "k"}, ""},
		"nothing that is sent":       {[]any{named("get"), "k"}, ""},
		"only ASCII is folded":       {[]any{"\u212aeys", "*"}, ""},
		"module":                     {[]any{"JSON.GET", "k"}, "json.get"},
		"argument, not a subcommand": {[]any{"flushall", "async"}, "flushall"},
	} {
		t.Run(name, func(t *testing.T) {
			got := ""
			if c, ok := command.Lookup(tt.args); ok {
				got = c.Name
			}
			if got != tt.want {
				t.Errorf("got %q; want %q", got, tt.want)
			}
		})
	}
}

func TestWrite(t *testing.T) {
	for line, want := range map[string]bool{
		"get k":                             false,
		"getex k":                           true,
		"touch k":                           false,
		"pfcount k":                         true,
		"xread streams k 0":                 false,
		"xreadgroup group g c streams k 0":  true,
		"sort k":                            false,
		"sort k desc STORE d":               true,
		"sort_ro k":                         false,
		"georadius k 1 2 3 km":              false,
		"georadius k 1 2 3 km StoreDist d":  true,
		"georadius_ro k 1 2 3 km":           false,
		"bitfield k get u8 0 overflow sat":  false,
		"bitfield k get u8 0 incrby u8 0 1": true,
		"bitfield k nonsense":               true,
		"eval return 1 k":                   true,
		"evalsha_ro abc 1 k":                false,
		"fcall f 0":                         true,
		"fcall_ro f 0":                      false,
		"flushdb":                           true,
		"script flush":                      false,
		"dbsize":                            false,
	} {
		args := split(line)
		if got := lookup(t, args).Write(args); got != want {
			t.Errorf("%s: got %v; want %v", line, got, want)
		}
	}
}

func TestRoute(t *testing.T) {
	for line, want := range map[string]command.Class{
		"get k":                command.Keyed,
		"eval body 1 k":        command.Keyed,
		"eval body 0 k":        command.AllKeys,
		"evalsha_ro sha 0":     command.AnySide,
		"fcall f 0":            command.AllKeys,
		"ping":                 command.AnySide,
		"scan 0":               command.AnySide,
		"info":                 command.AnySide,
		"xinfo help":           command.AnySide,
		"publish ch m":         command.BothSides,
		"script load body":     command.BothSides,
		"flushall":             command.AllKeys,
		"script flush":         command.AllKeys,
		"select 1":             command.Denied,
		"swapdb 0 1":           command.Denied,
		"multi":                command.Denied,
		"watch k":              command.Denied,
		"subscribe ch":         command.Denied,
		"client setname x":     command.Denied,
		"hello 3":              command.Denied,
		"migrate h 1 k 0 1000": command.Denied,
		"wait 1 0":             command.Denied,
		"config set a b":       command.Denied,
		"client":               command.Denied,
		"ft.search idx q":      command.Denied,
	} {
		args := split(line)
		c := lookup(t, args)
		keys, err := c.AppendKeys(nil, args)
		if err != nil && c.Class != command.Denied {
			t.Errorf("%s: %v", line, err)
		}
		if got := c.Route(args, len(keys)); got != want {
			t.Errorf("%s: got %v; want %v", line, got, want)
		}
		if got := c.Refusal(args); (got != "") != (want == command.Denied) {
			t.Errorf("%s: got reason %q", line, got)
		}
	}
}

func TestRefusalByArguments(t *testing.T) {
	for line, want := range map[string]bool{
		"copy a b":              false,
		"copy a b replace":      false,
		"copy a db":             false, // a key of that name
		"copy a b DB 1":         true,
		"copy a b replace db 1": true,
	} {
		args := split(line)
		if got := lookup(t, args).Refusal(args); (got != "") != want {
			t.Errorf("%s: got reason %q; want one: %v", line, got, want)
		}
	}
}

func TestUndeclared(t *testing.T) {
	for line, want := range map[string]bool{
		"get k":                       false,
		"eval body 1 k":               true,
		"fcall_ro f 1 k":              true,
		"sort k by nosort get #":      false,
		"sort k by w_*":               true,
		"sort_ro k get d_*":           true,
		"sort k limit by w_* store d": false,
	} {
		args := split(line)
		if got := lookup(t, args).Undeclared(args); got != want {
			t.Errorf("%s: got %v; want %v", line, got, want)
		}
	}
}
