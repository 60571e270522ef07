package history

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/migrate"
)

// TestPlainRedis records two processes' worth of clients on a real server, and
// then takes things away: what the checker says of the truth and of a lie.
func TestPlainRedis(t *testing.T) {
	srv := redistest.Standalone(t, redistest.Options{})
	c := redistest.Client(t, srv)
	ops := record(t, c, "m1", "m2")
	all, err := ReadBack(t.Context(), c, ops)
	if err != nil {
		t.Fatal(err)
	}
	rep, loss := Check(all, time.Minute), Lost(all, func(Op) bool { return false })
	if !rep.OK() || rep.Open > 0 || loss.Lost+loss.Invented > 0 || loss.Acknowledged < 500 {
		t.Fatalf("got %+v, %+v; want all well", rep, loss)
	}
	t.Logf("%d operations on %d keys, %d writes acknowledged", rep.Ops, rep.Keys, loss.Acknowledged)
	for kind, spoil := range map[Kind]func(key string) error{
		Set:  func(key string) error { return c.Set(t.Context(), key, "m1-0", 0).Err() },
		Incr: func(key string) error { return c.Decr(t.Context(), key).Err() },
		Add:  func(key string) error { return c.SPop(t.Context(), key).Err() },
	} {
		i := slices.IndexFunc(ops, func(o Op) bool { return o.Kind == kind })
		if err := spoil(ops[i].Key); err != nil {
			t.Fatal(err)
		}
		all, err := ReadBack(t.Context(), c, slices.DeleteFunc(slices.Clone(ops), func(o Op) bool { return o.Key != ops[i].Key }))
		if err != nil {
			t.Fatal(err)
		}
		if rep, loss := Check(all, time.Minute), Lost(all, func(Op) bool { return false }); rep.OK() || loss.Lost+loss.Invented == 0 {
			t.Errorf("%s: got %+v, %+v; want both to see it", ops[i].Key, rep, loss)
		}
	}
}

// record has clients work for a while under some names at once.
func record(t *testing.T, c redis.UniversalClient, names ...string) (ops []Op) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), 1500*time.Millisecond)
	defer stop()
	var wg sync.WaitGroup
	dir := t.TempDir()
	for _, name := range names {
		r, err := NewRecorder(name, filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			Run(ctx, c, r, Options{Rate: 500, Keys: 4})
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, name := range names {
		list, err := Read(name, filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		ops = append(ops, list...)
	}
	return ops
}

func TestRecord(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m1")
	r, err := NewRecorder("m1", path)
	if err != nil {
		t.Fatal(err)
	}
	r.do(1, Set, "k", func(string) (string, []string, error) { return "", nil, nil })
	r.do(2, GetSet, "k", func(string) (string, []string, error) { return "m1-1", nil, nil })
	r.do(1, Incr, "n", func(string) (string, []string, error) { return "", nil, io.EOF })
	r.do(1, Members, "s", func(string) (string, []string, error) { return "", []string{"a", "b"}, nil })
	r.call(3, Add, "s") // and the process is killed
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	ops, err := Read("m1", path)
	if err != nil || len(ops) != 5 {
		t.Fatalf("got %v, %v; want five operations", ops, err)
	}
	if o := ops[1]; o.Reply != "m1-1" || o.Value != "m1-2" || o.Client != 2 || o.End != Returned || o.Call == 0 || o.Return < o.Call {
		t.Errorf("got %+v", o)
	}
	if o := ops[3]; !slices.Equal(o.List, []string{"a", "b"}) {
		t.Errorf("got %+v", o)
	}
	for _, i := range []int{2, 4} {
		if o := ops[i]; o.End != Open || o.Return != never {
			t.Errorf("got %+v; want it open", o)
		}
	}
	if _, err := NewRecorder("m1", path); !errors.Is(err, os.ErrExist) {
		t.Errorf("a second record in the same file: got %v; want ErrExist", err)
	}
}

// TestRecordFails wants nothing to be done that cannot be recorded.
func TestRecordFails(t *testing.T) {
	r, err := NewRecorder("m1", filepath.Join(t.TempDir(), "m1"))
	if err != nil {
		t.Fatal(err)
	}
	r.file.Close()
	r.do(1, Set, "k", func(string) (string, []string, error) { t.Error("it was done"); return "", nil, nil })
	if err := r.Close(); err == nil {
		t.Error("got no error")
	}
}

func TestEnds(t *testing.T) {
	nobody := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", MaxRetries: -1})
	defer nobody.Close()
	refused := nobody.Ping(t.Context()).Err()
	for _, tt := range []struct {
		err  error
		want End
	}{
		{nil, Returned},
		{refused, Failed},
		{fmt.Errorf("%w within 1s", migrate.ErrNoSide), Failed},
		{redis.ErrCrossSlot, Failed},
		{migrate.ErrUnknownOutcome, Open},
		{fmt.Errorf("%w: %w", migrate.ErrUnknownOutcome, redis.ErrCrossSlot), Open},
		{&net.OpError{Op: "read", Err: io.EOF}, Open},
		{io.EOF, Open},
		{context.DeadlineExceeded, Open},
	} {
		if got := endOf(tt.err); got != tt.want {
			t.Errorf("%v: got %s; want %s", tt.err, got, tt.want)
		}
	}
}
