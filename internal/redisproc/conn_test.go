package redisproc_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"reflect"
	"testing"
	"time"

	"github.com/transload/transload/internal/redisproc"
)

// answering returns a connection whose other side has sent that, and nothing more.
func answering(t *testing.T, reply string) *redisproc.Conn {
	t.Helper()
	ours, theirs := net.Pipe()
	t.Cleanup(func() { _ = ours.Close() })
	done := make(chan struct{})
	go func() { // ends when the reply is read, or with the pipe
		defer close(done)
		_, _ = io.WriteString(theirs, reply)
		_ = theirs.Close()
	}()
	t.Cleanup(func() {
		_ = theirs.Close()
		<-done
	})
	return redisproc.NewConn(ours)
}

func TestReceive(t *testing.T) {
	for name, tt := range map[string]struct {
		reply string
		want  any
	}{
		"simple":           {"+OK\r\n", "OK"},
		"number":           {":-7\r\n", int64(-7)},
		"bulk":             {"$5\r\na\r\nbc\r\n", "a\r\nbc"},
		"empty bulk":       {"$0\r\n\r\n", ""},
		"no bulk":          {"$-1\r\n", nil},
		"no list":          {"*-1\r\n", nil},
		"null":             {"_\r\n", nil},
		"list":             {"*2\r\n$1\r\na\r\n*1\r\n:1\r\n", []any{"a", []any{int64(1)}}},
		"error in a list":  {"*1\r\n-ERR no\r\n", []any{redisproc.ReplyError("ERR no")}},
		"map":              {"%1\r\n$2\r\nid\r\n:9\r\n", []any{"id", int64(9)}},
		"push":             {">2\r\n$10\r\ninvalidate\r\n_\r\n", redisproc.Push{"invalidate", nil}},
		"push with a list": {">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n", redisproc.Push{"invalidate", []any{"k"}}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := answering(t, tt.reply).Receive()
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %#v, %v; want %#v", got, err, tt.want)
			}
		})
	}
}

func TestReceiveFails(t *testing.T) {
	for name, reply := range map[string]string{
		"nothing": "", "cut short": "$5\r\nab", "no number": "$x\r\n", "no length": "*x\r\n", "no type": "?\r\n", "empty line": "\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := answering(t, reply).Receive(); err == nil {
				t.Errorf("got %#v; want an error", got)
			}
		})
	}
	got, err := answering(t, "-ERR no\r\n").Receive()
	if re, ok := errors.AsType[redisproc.ReplyError](err); !ok || re != "ERR no" {
		t.Errorf("got %#v, %v; want the server's error", got, err)
	}
}

func TestDoEndsWithItsContext(t *testing.T) {
	ours, theirs := net.Pipe() // where nobody reads
	defer ours.Close()
	defer theirs.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if v, err := redisproc.NewConn(ours).Do(ctx, "PING"); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v, %v; want a time-out", v, err)
	}
}
