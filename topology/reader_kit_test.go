package topology_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/transload/transload/internal/redisproc"
	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/topology"
)

// calls returns how often a server has carried a command out.
func calls(t *testing.T, s *redisproc.Server, name string) int {
	t.Helper()
	return field(t, s, "commandstats", "cmdstat_"+name+":calls=")
}

// field returns a number that stands behind prefix in a section of INFO.
func field(t *testing.T, s *redisproc.Server, section, prefix string) int {
	t.Helper()
	text := fmt.Sprint(redistest.Do(t, s, "INFO", section))
	_, after, _ := strings.Cut(text, prefix)
	end := strings.IndexFunc(after, func(r rune) bool { return r < '0' || r > '9' })
	n, _ := strconv.Atoi(after[:max(end, 0)])
	return n
}

// replicasOf returns the data servers that are no primaries.
func replicasOf(t *testing.T, set *redisproc.Set) (primary *redisproc.Server, replicas []*redisproc.Server) {
	t.Helper()
	redistest.Eventually(t, 30*time.Second, func() error {
		if n := len(set.Primaries(t.Context())); n != 1 {
			return fmt.Errorf("%d primaries", n)
		}
		return nil
	})
	primary = set.Primaries(t.Context())[0]
	for _, n := range set.Nodes {
		if n != primary {
			replicas = append(replicas, n)
		}
	}
	return primary, replicas
}

// readBy waits until a read of key is answered by each of servers in turn.
func readBy(t *testing.T, c *topology.Client, key string, servers ...*redisproc.Server) {
	t.Helper()
	before := make([]int, len(servers))
	for i, s := range servers {
		before[i] = calls(t, s, "get")
	}
	redistest.Eventually(t, 30*time.Second, func() error {
		for range 10 {
			if err := c.Get(t.Context(), key).Err(); err != nil {
				return err
			}
		}
		for i, s := range servers {
			if calls(t, s, "get") == before[i] {
				return fmt.Errorf("%s answers no reads", s.Addr())
			}
		}
		return nil
	})
}

// notes keeps events.
type notes struct {
	mu   sync.Mutex
	list []topology.Event
}

func (n *notes) hear(e topology.Event) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.list = append(n.list, e)
}

func (n *notes) forget() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.list = nil
}

func (n *notes) has(kind topology.EventKind, addr string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, e := range n.list {
		if e.Kind == kind && e.Addr == addr {
			return nil
		}
	}
	return fmt.Errorf("no event %s of %s among %v", kind, addr, n.list)
}

// readers read key, each with its own deadline, until stop; the longest read and
// the errors are returned by its result.
func readers(t *testing.T, c *topology.Client, n int, key string) (stop func() (longest time.Duration, errs []error)) {
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var mu sync.Mutex
	var longest time.Duration
	start := time.Now()
	var errs []error
	for range n {
		wg.Go(func() {
			for ctx.Err() == nil {
				began := time.Now()
				one, end := context.WithTimeout(t.Context(), 5*time.Second)
				err := c.Get(one, key).Err()
				end()
				mu.Lock()
				longest = max(longest, time.Since(began))
				if err != nil {
					errs = append(errs, fmt.Errorf("after %v: %w", time.Since(start), err))
				}
				mu.Unlock()
				time.Sleep(time.Millisecond)
			}
		})
	}
	return func() (time.Duration, []error) {
		cancel()
		wg.Wait()
		return longest, errs
	}
}
