package feed

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/redistest"
)

// TestStalled has nobody read a feed, as when its process is frozen. What the
// server keeps for it stays within the server's limit for subscribers; then the
// server cuts it off, and the feed begins again with a gap.
func TestStalled(t *testing.T) {
	t.Parallel()
	const limit = 4 << 20
	s := redistest.Standalone(t, redistest.Options{Args: []string{"--client-output-buffer-limit", fmt.Sprintf("pubsub %d 0 0", limit)}})
	side := open(t, s.Env("REDIS"))
	f, dirty, _ := follow(t, side)
	_, was, _ := f.Unbroken()
	dirty.mu.Lock() // whoever reads the feed stops at the next name
	most := int64(0)
	name := strings.Repeat("x", 4000)
	for i := 0; ; i++ {
		pipe := side.Pipeline()
		for j := range 100 {
			pipe.Set(t.Context(), fmt.Sprint(name, i, ":", j), 1, time.Minute)
		}
		if _, err := pipe.Exec(t.Context()); err != nil {
			t.Fatal(err)
		}
		kept, there := keptFor(t, side)
		if most = max(most, kept); !there {
			break
		}
		if i == 1000 {
			t.Fatalf("the server keeps %d bytes for a feed that nobody reads, after 400 MB of names", kept)
		}
	}
	dirty.mu.Unlock()
	t.Logf("the server kept up to %d bytes, with a limit of %d", most, limit)
	if most > limit {
		t.Errorf("the server kept %d bytes; want at most %d", most, limit)
	}
	generationAfter(t, f, was)
	if n := dirty.SlotLen(); n != 16384 {
		t.Errorf("got %d dirty slots; want all", n)
	}
}

var omem = regexp.MustCompile(`\bomem=(\d+)`)

// keptFor says how much a server keeps for a subscriber, if it has one.
func keptFor(t *testing.T, c redis.UniversalClient) (kept int64, there bool) {
	t.Helper()
	list, _ := do(t, c, "CLIENT", "LIST", "TYPE", "pubsub").(string)
	for _, found := range omem.FindAllStringSubmatch(list, -1) {
		n, err := strconv.ParseInt(found[1], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		kept, there = kept+n, true
	}
	return kept, there
}

// TestNoChannel: where the channel may not be subscribed to nothing would bound a
// feed that stalls, so there is none, and it says what is missing.
func TestNoChannel(t *testing.T) {
	t.Parallel()
	s := redistest.Standalone(t, redistest.Options{Username: "app", Password: "secret"})
	admin := open(t, s.Env("REDIS"))
	do(t, admin, "ACL", "SETUSER", "narrow", "on", ">secret", "~*", "+@all", "resetchannels")
	env := s.Env("REDIS")
	env["REDIS_USERNAME"] = "narrow"
	side := open(t, env)
	f := New(side, NewDirty(nil), WithInterval(20*time.Millisecond))
	ended := make(chan error, 1)
	go func() { ended <- f.Run(t.Context()) }()
	t.Cleanup(func() { <-ended })
	redistest.Eventually(t, 20*time.Second, func() error {
		if g := f.LastGap(); g.Err == nil || !strings.Contains(g.Err.Error(), "subscribe to "+quiet) {
			return fmt.Errorf("got %v; want the channel named", g.Err)
		}
		return nil
	})
	if _, _, whole := f.Unbroken(); whole {
		t.Error("the feed is whole; want none without its limit")
	}
	do(t, admin, "ACL", "SETUSER", "narrow", "&transload:*")
	redistest.Eventually(t, 20*time.Second, func() error {
		if _, _, whole := f.Unbroken(); !whole {
			return f.LastGap().Err
		}
		return nil
	})
}
