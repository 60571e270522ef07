package coordinator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/control"
	"github.com/transload/transload/internal/keysync"
)

const (
	// sampleKeys is how many keys of each master are looked at. The order of a
	// SCAN is as good as chance.
	sampleKeys = 20_000

	// sampleFor bounds the look at the keys of one side.
	sampleFor = 3 * time.Second

	// shownBig is how many of the biggest keys are named.
	shownBig = 5
)

// A keySample is what a look at some keys of a side showed.
type keySample struct {
	err       error // it ended early
	total     int64 // keys of the side, by DBSIZE
	whole     bool  // every key was seen
	seen      int64 // keys that are not the migration's own
	own       int64
	prefixes  map[string]int64 // up to the first colon
	examples  map[string]string
	workloads map[string]int64
	types     map[string]int64
	big       []bigKey // the biggest first
	memoryErr error    // sizes could not be asked for
}

type bigKey struct {
	name string
	size int64
}

// takeSample looks at keys of every master of a side, for a bounded time.
func (k *checker) takeSample(ctx context.Context, f *sideFacts) *keySample {
	s := &keySample{prefixes: map[string]int64{}, examples: map[string]string{}, workloads: map[string]int64{},
		types: map[string]int64{}, whole: true}
	if s.total, s.err = dbSize(ctx, f.client); s.err != nil {
		return s
	}
	ctx, cancel := context.WithTimeout(ctx, sampleFor)
	defer cancel()
	var mu sync.Mutex
	s.err = f.client.EachMaster(ctx, func(ctx context.Context, _ string, node *redis.Client) error {
		left := sampleKeys
		err := scanNode(ctx, node, "", func(keys []string) error {
			mu.Lock()
			wanted := s.count(k.plan, keys)
			mu.Unlock()
			sizes, types, err := k.sizes(ctx, node, wanted)
			mu.Lock()
			defer mu.Unlock()
			s.weigh(wanted, sizes, types, err)
			if left -= len(keys); left <= 0 {
				return errEnough
			}
			return ctx.Err()
		})
		if err != nil {
			mu.Lock()
			s.whole = false
			mu.Unlock()
		}
		return err
	})
	if errors.Is(s.err, errEnough) || errors.Is(s.err, context.DeadlineExceeded) {
		s.err = nil
	}
	return s
}

// count counts keys by name, and returns those that are the app's.
func (s *keySample) count(p *plan, keys []string) (wanted []string) {
	for _, key := range keys {
		if strings.HasPrefix(key, control.Reserved) || keysync.IsTemp(key) {
			s.own++
			continue
		}
		s.seen++
		wanted = append(wanted, key)
		s.workloads[p.router.Workload(key)]++
		prefix, _, ok := strings.Cut(key, ":")
		if prefix += ":"; !ok {
			prefix = "(no prefix)"
		}
		if _, known := s.prefixes[prefix]; !known && len(s.prefixes) >= 1000 {
			prefix = "(others)"
		}
		s.prefixes[prefix]++
		s.examples[prefix] = key
	}
	return wanted
}

// sizes asks for type and size of keys, in one pipeline.
func (k *checker) sizes(ctx context.Context, node *redis.Client, keys []string) (sizes []int64, types []string, err error) {
	p := node.Pipeline()
	usages, kinds := make([]*redis.IntCmd, len(keys)), make([]*redis.StatusCmd, len(keys))
	for i, key := range keys {
		usages[i], kinds[i] = p.MemoryUsage(ctx, key), p.Type(ctx, key)
	}
	_, _ = p.Exec(ctx) // each reply is looked at below
	for i := range keys {
		if e := usages[i].Err(); e != nil && !errors.Is(e, redis.Nil) {
			err = e
		}
		sizes, types = append(sizes, usages[i].Val()), append(types, kinds[i].Val())
	}
	return sizes, types, err
}

// weigh takes what was found out about keys.
func (s *keySample) weigh(keys []string, sizes []int64, types []string, err error) {
	if err != nil {
		s.memoryErr = err
	}
	for i, key := range keys {
		s.types[types[i]]++
		s.big = append(s.big, bigKey{key, sizes[i]})
	}
	slices.SortFunc(s.big, func(a, b bigKey) int { return int(min(max(b.size-a.size, -1), 1)) })
	s.big = s.big[:min(len(s.big), shownBig)]
}

// share says how much of the side the sample is.
func (s *keySample) share() string {
	if s.whole {
		return fmt.Sprintf("all %d keys were looked at", s.seen)
	}
	return fmt.Sprintf("%d of %d keys were looked at", s.seen, s.total)
}

// byPrefix names the prefixes with the most keys. A key's name may be a secret,
// as a session's is: no more than its beginning is shown.
func (s *keySample) byPrefix(n int) string {
	names := sortedKeys(s.prefixes)
	slices.SortStableFunc(names, func(a, b string) int { return int(s.prefixes[b] - s.prefixes[a]) })
	var out []string
	for _, name := range names {
		out = append(out, fmt.Sprintf("%d %s (such as %q)", s.prefixes[name], name, begin(s.examples[name])))
	}
	return some(out, n)
}

func begin(key string) string {
	head, _, _ := strings.Cut(key, ":")
	if most := min(len(head), 24) + 7; len(key) > most {
		return key[:most] + "…"
	}
	return key
}
