package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/budget"
)

var ship = Define[parcel]("parcel.ship", In("parcels"))

func TestEnqueue(t *testing.T) {
	r, s := mini(t)
	c := clientOn(t, r, patient())
	for name, tt := range map[string]struct {
		opts  []Option
		stage Stage
	}{
		"now":             {nil, Pending},
		"after a delay":   {[]Option{Delay(time.Hour)}, Scheduled},
		"at a time":       {[]Option{At(time.Now().Add(time.Hour))}, Scheduled},
		"at a past time":  {[]Option{At(time.Now().Add(-time.Hour))}, Pending},
		"with a key":      {[]Option{Key("parcel 1")}, Pending},
		"unique":          {[]Option{Unique(time.Hour)}, Pending},
		"with a deadline": {[]Option{Deadline(time.Now().Add(time.Hour))}, Pending},
	} {
		t.Run(name, func(t *testing.T) {
			got := sent(t, c, ship, parcel{To: name, Weight: 5}, tt.opts...)
			if got.State != New || got.ID == "" {
				t.Fatalf("got %+v; want a new job", got)
			}
			job, err := c.Find(t.Context(), "parcels", got.ID)
			if err != nil || job.Stage != tt.stage || job.Name != "parcel.ship" || job.MaxAttempts != defaultAttempts {
				t.Errorf("got %+v, %v; want it %s", job, err, tt.stage)
			}
		})
	}
	if ok, _ := s.SIsMember(allQueues, "parcels"); !ok {
		t.Error("the queue is not in asynq:queues")
	}
}

func TestDuplicates(t *testing.T) {
	r, _ := mini(t)
	c := clientOn(t, r, patient())
	keyed := Define[parcel]("parcel.keyed", In("parcels")).KeyBy(func(p parcel) string { return p.To })
	for name, twice := range map[string]func(p parcel) Receipt{
		"key of the payload": func(p parcel) Receipt { return sent(t, c, keyed, p) },
		"key":                func(p parcel) Receipt { return sent(t, c, ship, p, Key("k")) },
		"unique":             func(p parcel) Receipt { return sent(t, c, ship, p, Unique(time.Minute)) },
		"id":                 func(p parcel) Receipt { return sent(t, c, ship, p, WithID("some-id")) },
		"scheduled":          func(p parcel) Receipt { return sent(t, c, ship, p, Key("later"), Delay(time.Hour)) },
	} {
		t.Run(name, func(t *testing.T) {
			p := parcel{To: name}
			if got := twice(p); got.State != New {
				t.Errorf("got %v; want new", got.State)
			}
			if got := twice(p); got.State != Duplicate {
				t.Errorf("got %v; want duplicate", got.State)
			}
		})
	}
	if got := sent(t, c, ship, parcel{To: "key"}, Key("k2")); got.State != New {
		t.Errorf("another key: got %v; want new", got.State)
	}
}

// Many at once keep their order and get a receipt each.
func TestEnqueueAll(t *testing.T) {
	r, _ := mini(t)
	c := clientOn(t, r, patient())
	keyed := Define[parcel]("parcel.keyed", In("parcels")).KeyBy(func(p parcel) string { return fmt.Sprint(p.Weight) })
	var all []parcel
	for i := range 2*atOnce + 7 {
		all = append(all, parcel{Weight: i})
	}
	all[9].Weight = 3 // a duplicate
	receipts, err := keyed.EnqueueAll(t.Context(), c, all)
	if err != nil {
		t.Fatal(err)
	}
	for i, got := range receipts {
		want := New
		if i == 9 {
			want = Duplicate
		}
		if got.State != want {
			t.Fatalf("job %d: got %v; want %v", i, got.State, want)
		}
	}
	jobs, err := c.List(t.Context(), "parcels", Pending, 5)
	if err != nil || len(jobs) != 5 {
		t.Fatalf("got %d jobs, %v", len(jobs), err)
	}
	for i, job := range jobs {
		if want := fmt.Sprintf(`"Weight":%d}`, i); !strings.HasSuffix(string(job.Payload), want) {
			t.Errorf("job %d is %s; want %s", i, []byte(job.Payload), want)
		}
	}
	if none, err := keyed.EnqueueAll(t.Context(), c, nil); err != nil || len(none) != 0 {
		t.Errorf("none at all: got %v, %v", none, err)
	}
}

// A reply is lost, and the script is sent again: the job is in once, and new.
func TestAmbiguousEnqueue(t *testing.T) {
	for name, opts := range map[string][]Option{"plain": nil, "key": {Key("k")}, "unique": {Unique(time.Hour)}, "later": {Delay(time.Hour)}} {
		t.Run(name, func(t *testing.T) {
			r, _ := mini(t)
			b := &breach{}
			r.AddHook(b)
			c := clientOn(t, r, patient())
			sent(t, c, ship, parcel{To: "Kyiv"}, opts...) // the script is known
			n := 0
			b.set(&b.after, func(cmd redis.Cmder) bool {
				if name := cmd.Name(); name != "evalsha" || n > 1 {
					return false
				}
				n++
				return true
			})
			opts := append(opts, Timeout(7*time.Second))
			if name == "key" {
				opts = append(opts, Key("k2"))
			}
			got := sent(t, c, ship, parcel{To: "Lviv"}, opts...)
			if got.State != New || n != 2 {
				t.Errorf("got %+v after %d lost replies; want new after 2", got, n)
			}
			infos, err := c.Queues(t.Context())
			if err != nil || infos[0].Left() != 2 {
				t.Errorf("got %+v, %v; want two jobs", infos, err)
			}
		})
	}
}

func TestRedisAway(t *testing.T) {
	r, s := mini(t)
	c := clientOn(t, r, Options{Budget: 100 * time.Millisecond})
	s.Close()
	began := time.Now()
	got, err := ship.Enqueue(t.Context(), c, parcel{})
	if !errors.Is(err, ErrUnavailable) || got.State != 0 || got.ID == "" {
		t.Errorf("got %+v, %v; want ErrUnavailable, and the id to try again", got, err)
	}
	if took := time.Since(began); took > within/2 {
		t.Errorf("it took %v; want no longer than the budget", took)
	}
	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
	c.budget = budget.New(r, within)
	if again := sent(t, c, ship, parcel{}, WithID(got.ID)); again.State != New || again.ID != got.ID {
		t.Errorf("got %+v; want the same job", again)
	}
}

func TestLimits(t *testing.T) {
	r, _ := mini(t)
	c := clientOn(t, r, patient())
	for name, tt := range map[string]struct {
		job  *Job[parcel]
		opts []Option
		want error
	}{
		"payload":        {Define[parcel]("p", MaxPayload(10)), nil, ErrTooLarge},
		"name":           {Define[parcel]("p{1}"), nil, ErrOption},
		"no name":        {Define[parcel](""), nil, ErrOption},
		"queue":          {Define[parcel]("p", In("a{b}")), nil, ErrOption},
		"attempts":       {ship, []Option{MaxAttempts(0)}, ErrOption},
		"timeout":        {ship, []Option{Timeout(time.Millisecond)}, ErrOption},
		"unique":         {ship, []Option{Unique(time.Millisecond)}, ErrOption},
		"unique and key": {ship, []Option{Unique(time.Hour), Key("k")}, ErrOption},
		"retain":         {ship, []Option{Retain(-1)}, ErrOption},
		"id":             {ship, []Option{WithID("a b")}, ErrOption},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := tt.job.Enqueue(t.Context(), c, parcel{To: "Rotterdam"}, tt.opts...); !errors.Is(err, tt.want) {
				t.Errorf("got %v; want %v", err, tt.want)
			} else if strings.Contains(err.Error(), "Rotterdam") {
				t.Errorf("%q tells what is in the payload", err)
			}
		})
	}
	var none *redis.Client // as a variable is whose Open has failed
	for _, r := range []redis.UniversalClient{nil, none} {
		if _, err := NewClient(r, Options{}); !errors.Is(err, ErrOption) {
			t.Errorf("no client: got %v; want ErrOption", err)
		}
		if _, err := NewServer(r, Config{}); !errors.Is(err, ErrOption) {
			t.Errorf("no client for a server: got %v; want ErrOption", err)
		}
	}
	if _, err := NewClient(r, Options{Budget: -1, Confirm: -1}); !errors.Is(err, ErrOption) {
		t.Errorf("a negative budget: got %v; want ErrOption", err)
	}
}

// A client that reads past deadlines is told of, once each.
func TestDeadlinesUnheeded(t *testing.T) {
	logs := &book{}
	r := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
	t.Cleanup(func() { _ = r.Close() })
	clientOn(t, r, Options{Logger: logs.logger()})
	serverOn(t, r, Config{Logger: logs.logger()})
	if n := strings.Count(logs.String(), "set ContextTimeoutEnabled"); n != 2 {
		t.Errorf("it was said %d times; want twice:\n%s", n, logs)
	}
	heeding, _ := mini(t)
	was := logs.String()
	clientOn(t, heeding, Options{Logger: logs.logger()})
	if now := logs.String(); now != was {
		t.Errorf("got %q of a client that heeds them; want nothing", now[len(was):])
	}
}

// A caller who has gone away enqueues nothing, and waits for nothing.
func TestCallerGone(t *testing.T) {
	r, s := mini(t)
	c := clientOn(t, r, patient())
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("the browser was closed")
	cancel(gone)
	if _, err := ship.Enqueue(ctx, c, parcel{}); !errors.Is(err, gone) || !errors.Is(err, ErrUnavailable) {
		t.Errorf("got %v; want ErrUnavailable, and why", err)
	}
	if keys := s.Keys(); len(keys) > 0 {
		t.Errorf("got %v; want nothing sent", keys)
	}
	s.SetError("LOADING it is away")
	ctx, cancel = context.WithCancelCause(t.Context())
	time.AfterFunc(100*time.Millisecond, func() { cancel(gone) })
	began := time.Now()
	if _, err := ship.Enqueue(ctx, c, parcel{}); !errors.Is(err, gone) {
		t.Errorf("got %v; want why it ended", err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %v; want no longer than the caller", took)
	}
}

// What asynq enqueues and what we do are read alike by its Inspector.
func TestInspectorReadsOurs(t *testing.T) {
	r, _ := mini(t)
	c := clientOn(t, r, patient())
	got := sent(t, c, ship, parcel{To: "Kyiv"}, MaxAttempts(3), Timeout(time.Minute), Retain(time.Hour))
	i := asynq.NewInspectorFromRedisClient(r)
	task, err := i.GetTaskInfo("parcels", got.ID)
	if err != nil {
		t.Fatal(err)
	}
	if task.Type != "parcel.ship" || task.MaxRetry != 2 || task.Timeout != time.Minute || task.Retention != time.Hour || string(task.Payload) != `{"To":"Kyiv","Weight":0}` {
		t.Errorf("got %+v", task)
	}
	if names, err := i.Queues(); err != nil || len(names) != 1 || names[0] != "parcels" {
		t.Errorf("got %v, %v; want parcels", names, err)
	}
}

func TestDecodeIsStrict(t *testing.T) {
	for name, payload := range map[string]string{
		"unknown field": `{"To":"x","Colour":1}`, "trailing data": `{"To":"x"} {}`, "no JSON": `pallet`, "empty": ``, "wrong type": `{"Weight":"x"}`,
	} {
		if _, err := decode[parcel]([]byte(payload), 100); !errors.Is(err, ErrPayload) {
			t.Errorf("%s: got %v; want ErrPayload", name, err)
		}
	}
	if _, err := decode[parcel](make([]byte, 101), 100); !errors.Is(err, ErrTooLarge) || !errors.Is(err, asynq.SkipRetry) {
		t.Errorf("too large: got %v; want ErrTooLarge, permanent", err)
	}
	if raw, err := decode[Raw]([]byte("\x00pallet"), 100); err != nil || string(raw) != "\x00pallet" {
		t.Errorf("raw: got %q, %v", raw, err)
	}
}

func TestRedact(t *testing.T) {
	payload, err := json.Marshal(map[string]any{"phone": "+4915112345678", "n": 12345, "short": "ab", "deep": []any{map[string]string{"x": "Rotterdam"}}})
	if err != nil {
		t.Fatal(err)
	}
	got := redact("the phone +4915112345678 of Rotterdam, 12345, ab is refused: "+string(payload), payload)
	if want := "the phone [redacted] of [redacted], [redacted], ab is refused: [redacted]"; got != want {
		t.Errorf("got %q; want %q", got, want)
	}
	if got := redact(strings.Repeat("ä", maxText), nil); len(got) > maxText+len("…") {
		t.Errorf("got %d bytes; want %d at most", len(got), maxText)
	}
	if got := redact("secret-bytes failed", []byte("secret-bytes")); got != "[redacted] failed" {
		t.Errorf("no JSON: got %q", got)
	}
}

func FuzzRedact(f *testing.F) {
	f.Add("error +49151 of x", []byte(`{"a":"+49151"}`))
	f.Fuzz(func(t *testing.T, text string, payload []byte) {
		var v map[string]string
		got := redact(text, payload)
		if json.Unmarshal(payload, &v) != nil {
			return
		}
		for _, secret := range v {
			if len(secret) >= minSecret && !strings.Contains("[redacted]…", secret) && strings.Contains(got, secret) && !strings.Contains(secret, "redacted") {
				t.Errorf("%q tells %q", got, secret)
			}
		}
	})
}

// A payload does not get into a log that is JSON.
func TestSecretInJSON(t *testing.T) {
	text, err := json.Marshal(JobInfo{Payload: Secret("Rotterdam")})
	if want := `"Payload":"[9 bytes]"`; err != nil || !strings.Contains(string(text), want) {
		t.Errorf("got %s, %v; want %s", text, err, want)
	}
	if got := fmt.Sprintf("%v %+v %#v %s %x", JobInfo{Payload: Secret("Rotterdam")}, Secret("Rotterdam"), Secret("Rotterdam"), Secret("Rotterdam"), Secret("Rotterdam")); strings.Contains(got, "Rotterdam") || strings.Contains(got, "526f74") {
		t.Errorf("got %s", got)
	}
}

// What a script wrote before it met an error is not left, where the next one would find
// it and be a Duplicate that nobody runs.
func TestRefusedLeavesNothing(t *testing.T) {
	r, s := mini(t)
	c := clientOn(t, r, patient())
	must(t, s.Set(queueKey("parcels", "pending"), "not a list"))
	for name, opts := range map[string][]Option{"key": {Key("k")}, "unique": {Unique(time.Hour)}} {
		if got, err := ship.Enqueue(t.Context(), c, parcel{To: name}, opts...); err == nil || errors.Is(err, ErrUnavailable) || got.State != 0 {
			t.Errorf("%s: got %+v, %v; want the server's reply", name, got, err)
		}
	}
	for _, key := range s.Keys() {
		if strings.Contains(key, "}:t:") || strings.Contains(key, "}:unique:") {
			t.Errorf("%s was left", key)
		}
	}
	s.Del(queueKey("parcels", "pending"))
	for name, opts := range map[string][]Option{"key": {Key("k")}, "unique": {Unique(time.Hour)}} {
		if got := sent(t, c, ship, parcel{To: name}, opts...); got.State != New {
			t.Errorf("%s: got %v; want it new", name, got.State)
		}
	}
}
