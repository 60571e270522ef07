package feed

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
)

func read(text string) (reply any, names []string, everything int, err error) {
	r := reader{
		Reader:     bufio.NewReaderSize(strings.NewReader(text), 1024),
		names:      func(n []string) { names = append(names, n...) },
		everything: func() { everything++ },
	}
	reply, err = r.next()
	return reply, names, everything, err
}

func TestReader(t *testing.T) {
	for text, want := range map[string]any{
		"+PONG\r\n":                            "PONG",
		"-BUSY wait\r\n":                       replyError("BUSY wait"),
		":-12\r\n":                             int64(-12),
		"$3\r\na\r\n\r\n":                      "a\r\n",
		"$-1\r\n":                              nil,
		"_\r\n":                                nil,
		"=7\r\ntxt:abc\r\n":                    "abc",
		"!5\r\nERR x\r\n":                      replyError("ERR x"),
		"*2\r\n:1\r\n*1\r\n+a\r\n":             []any{int64(1), []any{"a"}},
		"%1\r\n+k\r\n#t\r\n":                   []any{"k", "t"},
		"|1\r\n+k\r\n+v\r\n+after\r\n":         "after",
		">2\r\n$7\r\nmessage\r\n:1\r\n+ok\r\n": "ok",
	} {
		got, _, _, err := read(text)
		if err != nil || fmt.Sprintf("%#v", got) != fmt.Sprintf("%#v", want) {
			t.Errorf("%q: got %#v, %v; want %#v", text, got, err, want)
		}
	}
	reply, names, all, err := read(">2\r\n$10\r\ninvalidate\r\n*2\r\n$1\r\na\r\n$0\r\n\r\n" +
		">2\r\n+invalidate\r\n_\r\n>2\r\n+invalidate\r\n*-1\r\n:1\r\n")
	if err != nil || reply != int64(1) || !slices.Equal(names, []string{"a", ""}) || all != 2 {
		t.Errorf("got %v, names %q, everything %d, %v", reply, names, all, err)
	}
	for _, text := range []string{"", "+a", "x\r\n", "$9\r\na\r\n", ":a\r\n", "*-3\r\n", ">0\r\n", "\r\n",
		">2\r\n+invalidate\r\n:1\r\n", strings.Repeat("*1\r\n", 50) + ":1\r\n", "+" + strings.Repeat("x", 2000)} {
		if got, _, _, err := read(text); err == nil {
			t.Errorf("%.20q: got %v; want an error", text, got)
		} else if !errors.Is(err, errProtocol) && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%.20q: got %v", text, err)
		}
	}
}

func FuzzReader(f *testing.F) {
	f.Add(">2\r\n$10\r\ninvalidate\r\n*2\r\n$1\r\na\r\n$0\r\n\r\n:1\r\n")
	f.Add("%1\r\n+k\r\n*2\r\n_\r\n=7\r\ntxt:abc\r\n")
	f.Add("$99999999\r\n")
	f.Fuzz(func(_ *testing.T, text string) { _, _, _, _ = read(text) })
}
