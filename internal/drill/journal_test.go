package drill

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/command"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// at returns calls that ended so many seconds after start.
func at(seconds ...int) (list []call) {
	for i, s := range seconds {
		list = append(list, call{int64(i + 1), start, start.Add(time.Duration(s) * time.Second)})
	}
	return list
}

func TestLongestGap(t *testing.T) {
	for name, tt := range map[string]struct {
		calls    []call
		from, to int
		want     time.Duration
	}{
		"never answered":          {nil, 0, 10, 10 * time.Second},
		"one answer":              {at(4), 0, 10, 6 * time.Second},
		"between two":             {at(1, 2, 7, 8, 9), 0, 10, 5 * time.Second},
		"to the end":              {at(1, 2), 0, 10, 8 * time.Second},
		"since the beginning":     {at(6, 8), 0, 10, 6 * time.Second},
		"what lies outside":       {at(1, 5, 6, 20), 4, 8, 2 * time.Second},
		"nothing between the two": {at(1, 20), 4, 8, 4 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			sec := func(n int) time.Time { return start.Add(time.Duration(n) * time.Second) }
			if got := longestGap(tt.calls, sec(tt.from), sec(tt.to)).Length(); got != tt.want {
				t.Errorf("got %v; want %v", got, tt.want)
			}
		})
	}
}

func TestMergedIsInOrder(t *testing.T) {
	got := longestGap(merged(at(1, 4, 7), at(2, 5)), start, start.Add(7*time.Second))
	if got.Length() != 2*time.Second || !got.From.Equal(start.Add(2*time.Second)) {
		t.Errorf("got %v from %v; want 2s from second 2", got.Length(), got.From)
	}
}

// TestJournalForgets holds a drill that waits for hours to a bounded memory, and
// a pinned journal to everything.
func TestJournalForgets(t *testing.T) {
	const calls = 20_000 // one a second
	var j journal
	for i := range calls {
		j.add(call{int64(i), start, start.Add(time.Duration(i) * time.Second)})
	}
	oldest := j.calls[len(j.calls)-1].ended.Sub(j.calls[0].ended)
	if j.count != calls || oldest < keepFor-time.Second || oldest > 2*keepFor {
		t.Errorf("got %d counted, the oldest %v back; want %d, and between %v and %v", j.count, oldest, calls, keepFor, 2*keepFor)
	}
	j.pinned = true
	before := len(j.calls)
	for i := range calls {
		j.add(call{int64(i), start, start.Add(time.Duration(calls+i) * time.Second)})
	}
	if len(j.calls) != before+calls {
		t.Errorf("got %d calls after pinning; want %d", len(j.calls), before+calls)
	}
}

// TestTagsAreSpread holds each goroutine to a slot of its own part of all slots.
func TestTagsAreSpread(t *testing.T) {
	for _, n := range []int{1, 3, 12, 50} {
		for i := range n {
			slot := int(command.Slot("drill:x:{" + tagAt(i, n) + "}:1"))
			if slot*n/command.Slots != i {
				t.Errorf("%d of %d: got slot %d; want one in part %d", i, n, slot, i)
			}
		}
	}
}

type reply string

func (r reply) Error() string { return string(r) }
func (reply) RedisError()     {}

func TestKindOf(t *testing.T) {
	for want, err := range map[string]error{
		"READONLY":           reply("READONLY You can't write against a read only replica."),
		"CLUSTERDOWN":        fmt.Errorf("wrapped: %w", reply("CLUSTERDOWN The cluster is down")),
		"server's error":     reply("WRONGTYPE"),
		"deadline":           context.DeadlineExceeded,
		"no free connection": redis.ErrPoolTimeout,
		"connection refused": &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)},
		"connection lost":    io.EOF,
		"time-out":           &net.OpError{Op: "read", Err: os.ErrDeadlineExceeded},
		"other":              errors.New("what is this"),
	} {
		if got := kindOf(err); got != want {
			t.Errorf("%v: got %q; want %q", err, got, want)
		}
	}
}
