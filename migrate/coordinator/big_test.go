package coordinator

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/control"
	"github.com/transload/transload/internal/redistest"
)

// TestBigKeys copies and repairs a huge sorted set and a huge list, and reads in
// the source's slow log how long each of our commands held the server. Here there
// are 15,000 members and 1.5 MiB, fifteen pieces each, and a machine that others
// use; with LONG=1 a million and 100 MiB, held to what we promise.
func TestBigKeys(t *testing.T) {
	members, median, longest := 15_000, 20*time.Millisecond, time.Second
	if long() {
		members, median, longest = 1_000_000, time.Millisecond, 5*time.Millisecond
	}
	if testing.Short() {
		t.Skip("needs a real server")
	}
	if !long() {
		t.Parallel()
	}
	args := []string{"--slowlog-max-len", "1000000", "--slowlog-log-slower-than", "-1"}
	s := sides{config(t, redistest.Standalone(t, redistest.Options{Args: args})), config(t, redistest.Standalone(t, redistest.Options{}))}
	src := client(t, s.source)
	for i := 0; i < members; i += 5000 { // elements of 100 bytes: a hundred thousand make 10 MB
		const script = "for i = ARGV[1], ARGV[2] do redis.call('ZADD', KEYS[1], i / 7, 'member:' .. i) redis.call('RPUSH', KEYS[2], string.rep(redis.sha1hex(i), 2) .. string.rep('x', 25)) end return 1"
		if err := src.Eval(t.Context(), script, []string{"rl:zset", "big:list"}, i, i+4999).Err(); err != nil {
			t.Fatal(err)
		}
	}
	set := func(name, value string) {
		t.Helper()
		if err := src.ConfigSet(t.Context(), name, value).Err(); err != nil {
			t.Fatal(err)
		}
	}
	set("slowlog-log-slower-than", "0")
	slowest := pinging(t, src)
	c := coordinate(t, s, func(o *Options) { o.NoMembers = true })
	began := time.Now()
	shadowing(t, c)
	waitLong(t, c)
	t.Logf("copied within %v", time.Since(began).Round(time.Millisecond))
	began = time.Now()
	p := src.Pipeline()
	p.ZIncrBy(t.Context(), "rl:zset", 5, "member:4711")
	p.ZAdd(t.Context(), "rl:zset", redis.Z{Score: 1, Member: "new"})
	p.RPush(t.Context(), "big:list", "new")
	p.LPop(t.Context(), "big:list")
	if _, err := p.Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	waitLong(t, c)
	t.Logf("repaired within %v", time.Since(began).Round(time.Millisecond))
	ping := slowest()
	set("slowlog-log-slower-than", "-1")
	took := ourCommands(t, src)
	at := func(share float64) redis.SlowLog { return took[int(share*float64(len(took)-1))] }
	last := took[len(took)-1]
	t.Logf("%d commands of ours held the source: median %v, p99.9 %v, longest %v (%.60q); the longest PING took %v",
		len(took), at(0.5).Duration, at(0.999).Duration, last.Duration, strings.Join(last.Args, " "), ping)
	if at(0.5).Duration > median || at(0.999).Duration > longest {
		t.Errorf("median %v, p99.9 %v; want at most %v and %v", at(0.5).Duration, at(0.999).Duration, median, longest)
	}
	if rep, err := c.Verify(t.Context(), VerifyRequest{}); err != nil || rep.Compared == 0 {
		t.Errorf("got %+v, %v; want equal sides", rep, err)
	}
}

// waitLong waits until nothing is dirty, for as long as a huge key takes.
func waitLong(t *testing.T, c *Coordinator) {
	t.Helper()
	lead := leader(t, c)
	for _, f := range lead.syncer.feeds {
		if f != nil {
			if err := f.Watermark(t.Context()); err != nil { // what was just written is named by now
				t.Fatal(err)
			}
		}
	}
	redistest.Eventually(t, 10*time.Minute, func() error {
		if !lead.syncer.dirty.Clean() || !lead.syncer.large.idle() {
			time.Sleep(20 * time.Millisecond)
			return fmt.Errorf("dirty: %d names", lead.syncer.dirty.Len())
		}
		return nil
	})
}

// idle reports whether no repair is under way.
func (l *largeKeys) idle() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.since.IsZero()
}

// pinging asks a server all the time, until the function that it returns is called:
// that tells the longest answer.
func pinging(t *testing.T, c redis.UniversalClient) (slowest func() time.Duration) {
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	longest := time.Duration(0)
	wg.Go(func() {
		for pause(ctx, time.Millisecond) {
			began := time.Now()
			if c.Ping(ctx).Err() == nil {
				longest = max(longest, time.Since(began))
			}
		}
	})
	return func() time.Duration {
		stop()
		wg.Wait()
		return longest
	}
}

// ourCommands returns what a server's slow log holds of ours, the quickest first.
func ourCommands(t *testing.T, c redis.UniversalClient) []redis.SlowLog {
	t.Helper()
	all, err := c.SlowLogGet(t.Context(), -1).Result()
	if err != nil {
		t.Fatal(err)
	}
	ours := slices.DeleteFunc(all, func(e redis.SlowLog) bool {
		return !strings.HasPrefix(e.ClientName, control.ClientName("default", "coordinator-"))
	})
	if len(ours) == 0 {
		t.Fatalf("none of %d commands is ours", len(all))
	}
	slices.SortFunc(ours, func(a, b redis.SlowLog) int { return int(a.Duration - b.Duration) })
	return ours
}

// serverInt reads a number of INFO.
func serverInt(t *testing.T, c redis.UniversalClient, field string) (int64, error) {
	t.Helper()
	info, err := c.Info(t.Context(), "memory").Result()
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(infoField(info, field), 10, 64)
}

var omem = regexp.MustCompile(`\bomem=(\d+)`)

// subscribers says how much a server keeps for a feed, and whether there is one.
func subscribers(t *testing.T, c redis.UniversalClient) (kept int64, there bool) {
	t.Helper()
	list, err := c.Do(t.Context(), "client", "list", "type", "pubsub").Text()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(list) {
		found := omem.FindStringSubmatch(line)
		if found == nil || !strings.Contains(line, "flags=PtB") {
			continue
		}
		n, err := strconv.ParseInt(found[1], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		kept, there = max(kept, n), true
	}
	return kept, there
}
