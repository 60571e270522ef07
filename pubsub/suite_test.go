package pubsub

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/contract"
)

func TestContract(t *testing.T) {
	t.Parallel() // it waits for steps of a migration
	contract.Run(t, suite)
}

// TestSuiteMini runs the contract on the server inside the process.
func TestSuiteMini(t *testing.T) {
	_, s := mini(t)
	suite(t, miniClient(t, s))
}

// suite is what holds wherever the package runs.
func suite(t *testing.T, c redis.UniversalClient) {
	name := contract.Name(t)
	h, other := hubOn(t, c, policies()), hubOn(t, c, policies())
	topic := func(prefix string, n int) string { return fmt.Sprintf("%s%s-%d", prefix, name, n) }
	t.Run("latest", func(t *testing.T) {
		for n := range 6 { // partitions on both sides
			top := topic("pos:", n)
			publish(t, h, top, "truck-1", 1)
			publish(t, h, top, "truck-2", 1)
			publish(t, other, top, "truck-1", 2)
			s := subscribe(t, other, top, "")
			s.wants("snapshot", "truck-2=1", "truck-1=2")
			publish(t, h, top, "truck-2", 2)
			s.wants("truck-2=2")
			must(t, h.Remove(t.Context(), top, "truck-1"))
			s.wants("-truck-1")
			subscribe(t, h, top, "").wants("snapshot", "truck-2=2")
			s.quiet()
		}
	})
	t.Run("latest of many keys", func(t *testing.T) {
		top, all := topic("pos:", 200), map[string]string{}
		for i := range 100 { // h spreads them over more pages, of which other does not know
			key := fmt.Sprint("truck-", i)
			publish(t, h, top, key, i)
			all[key] = fmt.Sprint(i)
		}
		publish(t, other, top, "truck-7", "moved")
		must(t, other.Remove(t.Context(), top, "truck-8"))
		all["truck-7"] = `"moved"`
		delete(all, "truck-8")
		if got := subscribe(t, hubOn(t, c, policies()), top, "").snapshot(len(all)); !maps.Equal(got, all) {
			t.Errorf("got %v; want %v", got, all)
		}
	})
	t.Run("recoverable", func(t *testing.T) {
		for n := range 6 {
			top := topic("chat:", n)
			s := subscribe(t, h, top, "")
			var middle string
			for i := range 10 {
				r := publish(t, []*Hub{h, other}[i%2], top, "", i)
				if i == 4 {
					middle = r.Pos
				}
			}
			s.wants("=0", "=1", "=2", "=3", "=4", "=5", "=6", "=7", "=8", "=9")
			subscribe(t, other, top, middle).wants("=5", "=6", "=7", "=8", "=9")
			end := subscribe(t, other, top, "")
			publish(t, h, top, "", "more")
			end.wants(`="more"`)
			s.wants(`="more"`)
			s.quiet()
		}
	})
	t.Run("volatile", func(t *testing.T) {
		for n := range 6 {
			top := topic("tick:", n)
			s := subscribe(t, other, top, "")
			publish(t, h, top, "a", 1)
			publish(t, h, top, "b", 2)
			s.wants("a=1", "b=2")
			s.quiet()
		}
	})
	t.Run("a position of another line", func(t *testing.T) {
		top := topic("chat:", 100)
		publish(t, h, top, "", "old")
		subscribe(t, h, top, "nobody.7").wants("gap")
		if _, err := h.Subscribe(t.Context(), top, "nonsense"); !errors.Is(err, ErrTopic) {
			t.Errorf("got %v; want ErrTopic", err)
		}
	})
	t.Run("refusals", func(t *testing.T) {
		for why, tt := range map[string]struct {
			topic, key string
			v          any
			want       error
		}{
			"no policy":       {"other:x", "k", 1, ErrTopic},
			"no topic":        {"", "k", 1, ErrTopic},
			"no key":          {topic("pos:", 1), "", 1, ErrTopic},
			"a line break":    {topic("pos:", 1), "a\nb", 1, ErrTopic},
			"a long key":      {topic("pos:", 1), strings.Repeat("k", 201), 1, ErrTopic},
			"a large value":   {topic("pos:", 1), "k", strings.Repeat("v", 16<<10), ErrTooLarge},
			"the Hub's own":   {"transload:other", "k", 1, ErrTopic},
			"to remove there": {topic("chat:", 1), "k", nil, ErrTopic},
		} {
			var err error
			if tt.v == nil {
				err = h.Remove(t.Context(), tt.topic, tt.key)
			} else {
				_, err = h.Publish(t.Context(), tt.topic, tt.key, tt.v)
			}
			if !errors.Is(err, tt.want) {
				t.Errorf("%s: got %v; want %v", why, err, tt.want)
			}
		}
	})
	t.Run("probe", func(t *testing.T) { must(t, h.Probe(t.Context())) })
	t.Run("healthy", func(t *testing.T) {
		_ = subscribe(t, h, topic("pos:", 1), "")
		eventually(t, func() error {
			if s := h.Health(); s.Degraded || s.Age > h.opt.Silence || s.Topics < 2 {
				return fmt.Errorf("got %+v", s)
			}
			return nil
		})
	})
}
