package deploy

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/cache"
	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/pubsub"
	"github.com/transload/transload/queue"
	"github.com/transload/transload/ratelimit"
	"github.com/transload/transload/sessions"
)

// profile is what the app keeps of a user beside who it is.
type profile struct {
	Role   string   `json:"role"`
	Locale string   `json:"locale"`
	Recent []string `json:"recent"`
}

// email is a job, position what a truck sends, and load what a cache has of a row.
type (
	email    struct{ To, Subject, Event string }
	position struct {
		Plate    string
		Lat, Lon float64
		At       int64
	}
	freight struct {
		ID, From, To, Cargo string
		KG, Price           int64
	}
)

// TestCapacity measures what an entry of each workload costs a server, and holds
// docs/capacity.md to it: DEPLOY=1 go test -count 1 -v -run TestCapacity ./deploy.
func TestCapacity(t *testing.T) {
	long(t)
	t.Parallel()
	const n = 10000
	s := redistest.Standalone(t, redistest.Options{})
	client := redistest.Client(t, s, func(o *redis.Options) { o.ContextTimeoutEnabled = true })
	manager, err := sessions.New(client, sessions.Options{Budget: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	limiter, err := ratelimit.New(client, []ratelimit.Policy{{Name: "per-minute", Limit: 100, Per: time.Minute}}, ratelimit.WithBudget(10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	defer limiter.Close(t.Context())
	jobs, err := queue.NewClient(client, queue.Options{})
	if err != nil {
		t.Fatal(err)
	}
	hub, err := pubsub.New(client, []pubsub.Topic{{Prefix: "pos:", Delivery: pubsub.Latest}}, pubsub.Options{})
	if err != nil {
		t.Fatal(err)
	}
	store, err := cache.Open(client, cache.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	loads, err := cache.New(store, "load", cache.Config[freight]{})
	if err != nil {
		t.Fatal(err)
	}
	p := profile{"driver", "en-GB", []string{"load-48213", "load-48377", "load-49001"}}
	begin := func(i int) error {
		r := httptest.NewRequestWithContext(t.Context(), "POST", "https://freight.example/sign-in", nil)
		_, err := manager.Start(httptest.NewRecorder(), r, fmt.Sprintf("user-%06d", i), p)
		return err
	}
	take := func(i int) error {
		_, err := limiter.Take(t.Context(), fmt.Sprintf("user-%06d", i))
		return err
	}
	send := queue.Define[email]("email.send", queue.In("email"))
	enqueue := func(i int) error {
		_, err := send.Enqueue(t.Context(), jobs, email{fmt.Sprintf("user-%06d@freight.example", i), "Your load is booked", fmt.Sprintf("booked:load-%06d", i)})
		return err
	}
	move := func(i int) error {
		plate := fmt.Sprintf("truck-%06d", i)
		_, err := hub.Publish(t.Context(), "pos:fleet", plate, position{plate, 52.52, 13.4, time.Now().UnixMilli()})
		return err
	}
	remember := func(i int) error {
		id := fmt.Sprintf("load-%06d", i)
		_, _, err := loads.Get(t.Context(), id, func(context.Context) (freight, error) {
			return freight{id, "Copenhagen", "Hamburg", "Machine parts", 1370, 690}, nil
		})
		return err
	}
	got := map[string]int{}
	for _, x := range []struct {
		what string
		do   func(i int) error
	}{{"session", begin}, {"limit", take}, {"job", enqueue}, {"position", move}, {"load", remember}} {
		before := used(t, client)
		for i := range n {
			if err := x.do(i); err != nil {
				t.Fatal(err)
			}
		}
		got[x.what] = (used(t, client) - before) / n
		t.Logf("a %s takes %d bytes", x.what, got[x.what])
	}
	page, err := os.ReadFile("../docs/capacity.md")
	if err != nil {
		t.Fatal(err)
	}
	for what, bytes := range got {
		m := regexp.MustCompile(`a ` + what + ` takes ([0-9,]+) bytes`).FindSubmatch(page)
		if m == nil {
			t.Fatalf("docs/capacity.md does not say what a %s takes", what)
		}
		said, _ := strconv.Atoi(strings.ReplaceAll(string(m[1]), ",", ""))
		if off := float64(bytes)/float64(said) - 1; off < -0.2 || off > 0.2 {
			t.Errorf("a %s takes %d bytes; docs/capacity.md says %d", what, bytes, said)
		}
	}
}

// used returns the bytes that the server has allocated.
func used(t *testing.T, c *redis.Client) int {
	t.Helper()
	info, err := c.Info(t.Context(), "memory").Result()
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^used_memory:(\d+)`).FindStringSubmatch(info)
	n, _ := strconv.Atoi(m[1])
	return n
}
