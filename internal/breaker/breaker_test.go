package breaker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
)

// unanswered is as topology.ErrNoPrimary.
type unanswered struct{}

func (unanswered) Error() string { return "no primary" }
func (unanswered) Unanswered()   {}

var errDown = &net.OpError{Op: "dial", Err: errors.New("connection refused")}

func run(b *Breaker, err error) error {
	return b.Do(context.Background(), "queue", func() error { return err })
}

func opened(t *testing.T) *Breaker {
	t.Helper()
	b := New("target", []string{"queue", "cache"}, slog.New(slog.DiscardHandler))
	for range failures {
		if err := run(b, errDown); !errors.Is(err, errDown) {
			t.Fatalf("got %v; want the server's error", err)
		}
	}
	return b
}

func TestOpens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := opened(t)
		err := run(b, nil)
		e, ok := errors.AsType[*Error](err)
		if !errors.Is(err, ErrOpen) || !ok || e.Side != "target" || e.Workload != "queue" || time.Until(e.Retry) > openFor {
			t.Fatalf("got %v; want the target's for queue, with the next try", err)
		}
		if got := fmt.Sprint(b.States()); got != "[{target queue open} {target cache closed}]" {
			t.Errorf("states: got %s", got)
		}
		if err := b.Do(t.Context(), "cache", func() error { return nil }); err != nil {
			t.Errorf("another workload: got %v", err)
		}
		time.Sleep(openFor + time.Millisecond)
		if err := run(b, nil); err != nil {
			t.Errorf("after %v: got %v; want it to be tried", openFor, err)
		}
		if err := run(b, nil); err != nil {
			t.Errorf("after an answer: got %v", err)
		}
	})
}

// Ten in a row open it, however many there are with answers in between.
func TestInARow(t *testing.T) {
	b := New("target", []string{"queue"}, slog.New(slog.DiscardHandler))
	for range 5 {
		for range failures - 1 {
			_ = run(b, errDown)
		}
		if err := run(b, redis.Nil); !errors.Is(err, redis.Nil) {
			t.Fatalf("got %v; want it sent after %d without an answer", err, failures-1)
		}
	}
	for range failures {
		_ = run(b, errDown)
	}
	if err := run(b, nil); !errors.Is(err, ErrOpen) {
		t.Errorf("got %v after %d in a row; want it open", err, failures)
	}
}

// Those that were sent before it opened and end afterwards change nothing, if they
// have no answer.
func TestManyAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New("target", []string{"queue"}, slog.New(slog.DiscardHandler))
		for i := range 10 * failures {
			go run2(b, time.Second+time.Duration(i)*time.Microsecond, errDown)
		}
		time.Sleep(time.Second + time.Millisecond)
		synctest.Wait()
		if err := run(b, nil); !errors.Is(err, ErrOpen) {
			t.Errorf("got %v; want it open", err)
		}
	})
}

// A command that hangs must not keep the breaker from being closed by another.
func TestHangingTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := opened(t)
		time.Sleep(openFor + time.Millisecond)
		go run2(b, 10*time.Second, errDown)
		synctest.Wait()
		began := time.Now()
		for run(b, nil) != nil {
			time.Sleep(time.Millisecond)
		}
		if took := time.Since(began); took > 200*time.Millisecond {
			t.Errorf("closed after %v; want at most 200ms", took)
		}
		time.Sleep(11 * time.Second) // the late error is no news
		if err := run(b, nil); err != nil {
			t.Errorf("after the late error: got %v", err)
		}
	})
}

// An answer that comes late is an answer.
func TestLateAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := opened(t)
		time.Sleep(openFor + time.Millisecond)
		go run2(b, 120*time.Millisecond, nil) // its turn is over, and the breaker open again
		time.Sleep(121 * time.Millisecond)
		synctest.Wait()
		if got := b.States()[0].State; got != "closed" {
			t.Errorf("got %s; want closed", got)
		}
		time.Sleep(time.Second)
	})
}

func run2(b *Breaker, after time.Duration, err error) {
	_ = b.Do(context.Background(), "queue", func() error { time.Sleep(after); return err })
}

func TestVerdicts(t *testing.T) {
	for err, want := range map[error]verdict{
		redis.Nil:                answer,
		redis.TxFailedErr:        answer,
		redis.ErrNoScript:        answer,
		io.EOF:                   silence,
		errDown:                  silence,
		unanswered{}:             silence,
		context.DeadlineExceeded: silence,
		context.Canceled:         nothing,
		redis.ErrClosed:          nothing,
		redis.ErrPoolTimeout:     nothing,
		errors.New("any other"):  nothing,
		&net.OpError{Op: "read", Err: net.ErrClosed}: nothing,
	} {
		if got := verdictOf(fmt.Errorf("wrapped: %w", err)); got != want {
			t.Errorf("%v: got %d; want %d", err, got, want)
		}
	}
}

func TestLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		b := New("source", []string{"queue"}, slog.New(slog.NewTextHandler(&log, nil)))
		for range 3 * failures {
			_ = run(b, errDown)
			time.Sleep(openFor / 2)
		}
		time.Sleep(openFor + time.Millisecond)
		_ = run(b, nil)
		if got := log.String(); strings.Count(got, "level=WARN") != 1 || strings.Count(got, "level=INFO") != 1 {
			t.Errorf("got %s; want one line when it opens, and one when it is closed", got)
		}
	})
}
