package ratelimit

import (
	"bytes"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/faultproxy"
	"github.com/transload/transload/internal/redisproc"
	"github.com/transload/transload/internal/redistest"
)

// TestLostRepliesOnTheWire: every second reply is lost, after the server has carried
// the command out, under go-redis's own retries.
func TestLostRepliesOnTheWire(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string]func(i int) []TakeOption{
		"sent once":          func(int) []TakeOption { return nil },
		"known by its ReqID": func(i int) []TakeOption { return []TakeOption{ReqID(fmt.Sprint(i))} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := redistest.Standalone(t, redistest.Options{})
			proxy := redistest.Proxy(t, server)
			client := redis.NewClient(&redis.Options{Addr: proxy.Addr()})
			t.Cleanup(func() { _ = client.Close() })
			l := onReal(t, client, []Policy{{Name: "w", Limit: 1000, Per: time.Hour}})
			take(t, l, "a") // the server knows the script
			cut := loseReplies(t, proxy)
			const takes = 40
			for i := range takes {
				cut <- i%2 == 1
				if d, err := l.Take(t.Context(), "a", opts(i)...); err != nil || !d.Allowed {
					t.Fatalf("take %d: got %+v, %v; want it allowed", i, d, err)
				}
			}
			proxy.Watch(nil)
			if n, err := redistest.Client(t, server).ZScore(t.Context(), l.key("a", 0), "n").Result(); err != nil || n != takes+1 {
				t.Errorf("got %v counted, %v; want %d", n, err, takes+1)
			}
		})
	}
}

// loseReplies has a proxy lose the next decision's reply if it is told so.
func loseReplies(t *testing.T, p *faultproxy.Proxy) chan<- bool {
	next := make(chan bool, 1)
	var wg sync.WaitGroup
	t.Cleanup(wg.Wait)
	p.Watch(func(l *faultproxy.Link, chunk []byte) bool {
		if text := bytes.ToLower(chunk); !bytes.Contains(text, []byte("evalsha")) && !bytes.Contains(text, []byte("zadd")) {
			return true
		}
		select {
		case lose := <-next:
			if lose {
				l.HoldReplies()
				wg.Go(func() {
					for l.HeldReplies() == 0 {
						time.Sleep(time.Millisecond)
					}
					l.Cut()
				})
			}
		default: // sent again, or something else
		}
		return true
	})
	return next
}

// TestRedisKilledForTenSeconds under three instances, with its append-only file.
func TestRedisKilledForTenSeconds(t *testing.T) {
	t.Parallel()
	server := redistest.Standalone(t, redistest.Options{Args: []string{"--appendonly", "yes", "--appendfsync", "always"}})
	const limit = 60
	c := newCrowd(t, []Policy{{Name: "hourly", Limit: limit, Per: time.Hour}}, clients(t, server, 3)...)
	seen := c.run("seen ", 10, 10*time.Millisecond)
	time.Sleep(time.Second)
	must(t, server.Kill())
	killed := time.Now()
	unseen := c.run("unseen ", 10, 10*time.Millisecond)
	time.Sleep(10*time.Second - time.Since(killed))
	must(t, server.Restart(t.Context()))
	c.asked()
	time.Sleep(3 * time.Second)
	seen()
	unseen()
	c.judge(limit)
	if c.without.Load() == 0 {
		t.Error("no decision was made without Redis")
	}
}

// clients are plain ones, one an instance.
func clients(t *testing.T, server *redisproc.Server, n int) (list []redis.UniversalClient) {
	for range n {
		c := redis.NewClient(&redis.Options{Addr: server.Addr(), ContextTimeoutEnabled: true})
		t.Cleanup(func() { _ = c.Close() })
		list = append(list, c)
	}
	return list
}
