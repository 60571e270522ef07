package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/transload/transload/internal/redistest"
)

// TestTableIsFresh makes the table anew. A server of another version than the one
// that it was made from is left to the tests of package command.
func TestTableIsFresh(t *testing.T) {
	s := redistest.Standalone(t, redistest.Options{})
	var out, errOut bytes.Buffer
	if code := run(t.Context(), []string{"-addr", s.Addr()}, &out, &errOut); code != 0 {
		t.Fatalf("got exit code %d: %s", code, &errOut)
	}
	want, err := os.ReadFile("../table.go")
	if err != nil {
		t.Fatal(err)
	}
	header, _, _ := strings.Cut(out.String(), "\n")
	if !bytes.HasPrefix(want, []byte(header+"\n")) {
		t.Skipf("table.go is of another server: %s", header)
	}
	if !bytes.Equal(out.Bytes(), want) {
		t.Error("table.go is not what this server says: run go generate ./internal/command")
	}
}

func TestParse(t *testing.T) {
	entry := func(name string, flags, specs, subs []any) []any {
		return []any{name, int64(-2), flags, int64(0), int64(0), int64(0), nil, nil, specs, subs}
	}
	spec := func(begin, find string, flags ...any) []any {
		return []any{
			"flags", flags,
			"begin_search", []any{"type", begin, "spec", []any{"index", int64(2)}},
			"find_keys", []any{"type", find, "spec", []any{"lastkey", int64(-1), "keystep", int64(2), "keynumidx", int64(0), "firstkey", int64(1)}},
		}
	}
	one := func(name string, specs ...any) []any { return []any{entry(name, []any{"write"}, specs, nil)} }
	for name, tt := range map[string]struct {
		reply any
		want  string // a part of the source, or of the error
	}{
		"range":            {one("X", spec("index", "range", "RO")), `{Name: "x", Arity: -2, flags: write, keys: []keySpec{{at: 2, last: -1, step: 2, access: readOnly}}}`},
		"number of keys":   {one("x", spec("index", "keynum", "OW")), `{{at: 2, count: true, step: 2, access: overwrite}}`},
		"removes":          {one("x", spec("index", "range", "RM")), `{{at: 2, last: -1, step: 2}}`},
		"not a key":        {one("x", spec("index", "range", "not_key")), `{Name: "x", Arity: -2, flags: write}`},
		"unknown":          {one("x", spec("unknown", "unknown")), `{Name: "x", Arity: -2, flags: write}`},
		"by hand":          {one("xread", spec("keyword", "range")), `{Name: "xread", Arity: -2, flags: write}`},
		"read that writes": {[]any{entry("pfcount", []any{"readonly"}, []any{spec("index", "range", "RW")}, nil)}, `flags: write, keys`},
		"blocking":         {[]any{entry("x", []any{"blocking", "fast"}, nil, nil)}, `flags: blocking}`},
		"subcommands":      {[]any{entry("x", nil, nil, one("x|Y"))}, `{Name: "x|y", Arity: -2, flags: write}`},
		"new keyword":      {one("x", spec("keyword", "range")), "needs a parser"},
		"new search":       {one("x", spec("index", "prophecy")), errReply.Error()},
		"of Redis 6":       {[]any{[]any{"x", int64(1)}}, errReply.Error()},
		"no list":          {"OK", errReply.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			list, err := parse(tt.reply)
			got := ""
			if err == nil {
				src, err := source("Redis 0", list)
				if err != nil {
					t.Fatal(err)
				}
				got = string(src)
			} else {
				got = err.Error()
			}
			if !strings.Contains(got, tt.want) {
				t.Errorf("got\n%s\nwant in it\n%s", got, tt.want)
			}
		})
	}
}

func TestExitCodes(t *testing.T) {
	for want, args := range map[int][]string{
		64: {"-nosuch"},
		1:  {"-addr", "/nonexistent/socket"},
	} {
		var out, errOut bytes.Buffer
		if got := run(t.Context(), args, &out, &errOut); got != want || errOut.Len() == 0 {
			t.Errorf("%v: got exit code %d, %q; want %d and a reason", args, got, &errOut, want)
		}
	}
}
