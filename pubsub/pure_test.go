package pubsub

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// nowhere is a client of a server that is not there.
func nowhere(t testing.TB) *redis.Client {
	c := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func itoa(n int) string { return strconv.Itoa(n) }

// Every fault is told at once, by the name of its option.
func TestOptions(t *testing.T) {
	c := nowhere(t)
	for name, tt := range map[string]struct {
		topics []Topic
		o      Options
		want   []string
	}{
		"none":    {nil, Options{}, []string{"topics"}},
		"topics":  {[]Topic{{}, {Delivery: 9}, {Prefix: "transload:x", Delivery: Latest, Keep: 1, History: -1, Bytes: 1, Keys: -1, Slow: 9, Confirm: -1}}, Options{}, []string{"given twice", "Delivery", "own", "Keep", "History", "Bytes", "Keys", "Slow", "Confirm"}},
		"options": {policies(), Options{Name: "a b", Partitions: -1, Silence: 1, Budget: 1, Wait: -1, MaxValue: 1}, []string{"Name", "Partitions", "Silence", "Budget", "Wait", "MaxValue"}},
	} {
		_, err := New(c, tt.topics, tt.o)
		if !errors.Is(err, ErrOption) {
			t.Errorf("%s: got %v; want ErrOption", name, err)
			continue
		}
		for _, word := range tt.want {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("%s: got %v; want %s named", name, err, word)
			}
		}
	}
	if _, err := New(nil, policies(), Options{}); !errors.Is(err, ErrOption) {
		t.Errorf("no client: got %v", err)
	}
	ring := redis.NewRing(&redis.RingOptions{})
	defer ring.Close()
	if _, err := New(ring, policies(), Options{}); !errors.Is(err, ErrOption) {
		t.Errorf("a Ring: got %v", err)
	}
	h, err := New(c, policies(), Options{})
	must(t, err)
	_, err = h.Handler(Sockets{Recheck: time.Hour, MaxConns: -1, MaxPerUser: -1, MaxTopics: -1, MaxMessage: 1, Rate: -1, Batch: 1, Ping: 1, Origins: []string{"*"}})
	for _, word := range []string{"Identify", "Authorize", "Recheck", "MaxConns", "MaxPerUser", "MaxTopics", "MaxMessage", "Rate", "Batch", "Ping", "Origins"} {
		if err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("got %v; want %s named", err, word)
		}
	}
}

// Partitions lie each in its own share of the slots, for any number of them.
func TestPartitions(t *testing.T) {
	if got := slotOf("123456789"); got != 0x31C3%slots {
		t.Errorf("got %d; want the check value of CRC16", got)
	}
	for _, n := range []int{1, 2, 3, 16, 100, 1024} {
		for i, p := range newPartitions("hub", n) {
			if got := slotOf(p.tag) * n / slots; got != i {
				t.Errorf("partition %d of %d lies in share %d", i, n, got)
			}
		}
	}
	h := &Hub{parts: newPartitions("hub", 16)}
	counts := map[*partition]int{}
	for i := range 16_000 {
		counts[h.partOf(fmt.Sprint("pos:truck-", i))]++
	}
	for p, n := range counts {
		if n < 700 || n > 1300 {
			t.Errorf("%s has %d of 16,000 topics; want about 1,000", p.channel, n)
		}
	}
}

func FuzzParseMessage(f *testing.F) {
	f.Add("m r abc 1 2 3 1\nt:ak1")
	f.Add("m d abc 1 2 3 1\nt:ak")
	f.Add("m r abc 1 2 9223372036854775807 9223372036854775807\nx")
	f.Fuzz(func(_ *testing.T, frame string) {
		if m, err := parseMessage(frame); err == nil {
			m.json()
		}
	})
}

// A frame that is not ours is none, and never a panic.
func TestForeignFrames(t *testing.T) {
	for _, frame := range []string{"", "m", "hello", "m r e 1 2 3\n", "m r e -1 2 0 0\n1", "m r e 1 2 1000 0\n1", "m r e 1 2 0 0\nno JSON", "x r e 1 2 0 0\n1", "m r e 0 2 0 0\n1"} {
		if m, err := parseMessage(frame); err == nil {
			t.Errorf("%q: got %+v; want an error", frame, m)
		}
	}
}

func TestClient(t *testing.T) {
	get := func(method string, head ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), method, "/live.js", nil)
		for i := 0; i < len(head); i += 2 {
			r.Header.Set(head[i], head[i+1])
		}
		w := httptest.NewRecorder()
		Client().ServeHTTP(w, r)
		return w
	}
	w := get(http.MethodGet)
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "export class Live") || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/javascript") {
		t.Errorf("got %d, %v", w.Code, w.Header())
	}
	if again := get(http.MethodGet, "If-None-Match", w.Header().Get("ETag")); again.Code != http.StatusNotModified || again.Body.Len() > 0 {
		t.Errorf("got %d; want 304", again.Code)
	}
	if w := get(http.MethodPost); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("got %d; want 405", w.Code)
	}
}

// The lines of a topic are followed one by one, with a gap wherever it is not proven
// that there is none.
func TestLines(t *testing.T) {
	msg := func(epoch string, seq int64) *message { return &message{epoch: epoch, seq: seq, size: 1, data: "1"} }
	for name, tt := range map[string]struct {
		line  []span
		seqs  [2]int64 // kept, of the last line's numbers and before
		epoch string
		sent  int64
		want  string
	}{
		"the same line":                   {[]span{{epoch: "a"}}, [2]int64{1, 5}, "a", 3, "4 5"},
		"a proven change":                 {[]span{{epoch: "a", end: 3, whole: true}, {epoch: "b"}}, [2]int64{1, 5}, "a", 2, "3 4 5"},
		"a failover":                      {[]span{{epoch: "a", end: 3}, {epoch: "b"}}, [2]int64{1, 5}, "a", 2, "3 gap 4 5"},
		"a failover that lost":            {[]span{{epoch: "a", end: 3}, {epoch: "b"}}, [2]int64{1, 5}, "a", 4, "gap 4 5"},
		"a proven change that lost":       {[]span{{epoch: "a", end: 3, whole: true}, {epoch: "b"}}, [2]int64{1, 5}, "a", 4, "gap 4 5"},
		"two failovers":                   {[]span{{epoch: "a", end: 2}, {epoch: "b", end: 4}, {epoch: "c"}}, [2]int64{1, 5}, "a", 1, "2 gap 3 4 gap 5"},
		"history is too short":            {[]span{{epoch: "a"}}, [2]int64{4, 5}, "a", 1, "gap 4 5"},
		"too short, over a failover":      {[]span{{epoch: "a", end: 3}, {epoch: "b"}}, [2]int64{5, 6}, "a", 1, "gap 5 6"},
		"a line that nobody knows":        {[]span{{epoch: "b"}}, [2]int64{1, 2}, "a", 7, "gap 1 2"},
		"that nobody knows, among others": {[]span{{epoch: "b", end: 1}, {epoch: "c"}}, [2]int64{1, 2}, "a", 7, "gap"},
		"a number that was never given":   {[]span{{epoch: "a"}}, [2]int64{1, 2}, "a", 9, "gap"},
	} {
		top := newTopic("chat:a", "k", &Topic{Delivery: Recoverable, History: 100, Bytes: 1024}, nil)
		top.line = tt.line
		for seq := tt.seqs[0]; seq <= tt.seqs[1]; seq++ {
			top.take(msg("x", seq))
		}
		f := &follow{t: top, epoch: tt.epoch, sent: tt.sent}
		var got []string
		for more := true; more; {
			var items []item
			var err error
			items, more, err = f.fetch(1) // one at a time
			must(t, err)
			for _, it := range items {
				if it.m != nil {
					got = append(got, fmt.Sprint(it.m.seq))
				} else {
					got = append(got, it.what.String())
				}
			}
		}
		if text := strings.Join(got, " "); text != tt.want {
			t.Errorf("%s: got %s; want %s", name, text, tt.want)
		}
	}
}
