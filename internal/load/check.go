package load

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/redis/go-redis/v9"
)

// A Verdict is what Redis has of what the members were told.
type Verdict struct {
	Acknowledged int64            `json:"acknowledged"`
	Lost         int64            `json:"lost"`     // acknowledged, and not there
	Invented     int64            `json:"invented"` // there, and nobody wrote it
	Doubled      int64            `json:"doubled"`  // there, or counted, more often than it was written: a client has sent it again
	Stale        int64            `json:"stale"`    // reads that showed less than the reader had been told
	Immortal     int64            `json:"immortal"` // keys that lost their expiry
	Reads        int64            `json:"reads"`
	LongestMS    float64          `json:"longest_ms"`
	Errors       map[string]int64 `json:"errors"`
	Samples      []string         `json:"samples,omitempty"` // some of what is wrong, in words
}

// OK reports whether nothing was lost, invented, doubled or stale.
func (v Verdict) OK() bool { return v.Lost+v.Invented+v.Doubled+v.Stale+v.Immortal == 0 }

func (v *Verdict) wrong(n *int64, by int64, format string, args ...any) {
	if by <= 0 {
		return
	}
	*n += by
	if len(v.Samples) < 10 {
		v.Samples = append(v.Samples, fmt.Sprintf(format, args...))
	}
}

// Check reads everything back through a client and holds it against the
// journals of all members.
func Check(ctx context.Context, c redis.UniversalClient, journals ...*Journal) (Verdict, error) {
	v := Verdict{Errors: map[string]int64{}}
	counters, queues := map[string]Counter{}, map[string]Queue{}
	for _, j := range journals {
		v.Acknowledged += j.Acked
		v.Stale += j.Stale
		v.Reads += j.Reads
		v.LongestMS = max(v.LongestMS, j.LongestMS)
		for text, n := range j.Errors {
			v.Errors[text] += n
		}
		for key, n := range j.Counters {
			sum := counters[key]
			counters[key] = Counter{sum.Acked + n.Acked, sum.Unknown + n.Unknown}
		}
		for key, q := range j.Queues {
			sum := queues[key]
			queues[key] = Queue{
				Pushed: slices.Concat(sum.Pushed, q.Pushed), Unknown: slices.Concat(sum.Unknown, q.Unknown),
				Popped: slices.Concat(sum.Popped, q.Popped), PopsUnknown: sum.PopsUnknown + q.PopsUnknown,
			}
		}
		if err := v.own(ctx, c, j); err != nil {
			return v, err
		}
	}
	for key, want := range counters {
		if err := v.counter(ctx, c, key, want); err != nil {
			return v, err
		}
	}
	for key, q := range queues {
		if err := v.queue(ctx, c, key, q); err != nil {
			return v, err
		}
	}
	return v, nil
}

// own checks what one member alone has written.
func (v *Verdict) own(ctx context.Context, c redis.UniversalClient, j *Journal) error {
	for key, r := range j.Registers {
		got, err := c.Get(ctx, key).Int64()
		if err != nil && !errors.Is(err, redis.Nil) {
			return err
		}
		if got < r.Acked {
			v.wrong(&v.Lost, 1, "%s: is %d; %d was acknowledged", key, got, r.Acked)
		}
		if got > r.Tried {
			v.wrong(&v.Invented, 1, "%s: is %d; only %d was tried", key, got, r.Tried)
		}
		if got > 0 {
			ttl, err := c.TTL(ctx, key).Result()
			if err != nil {
				return err
			}
			if ttl < 0 {
				v.wrong(&v.Immortal, 1, "%s: has no expiry", key)
			}
		}
	}
	for key, want := range j.Collections {
		got, err := elements(ctx, c, key, want.Kind)
		if err != nil {
			return err
		}
		v.compare(key, want.Acked, want.Unknown, got)
	}
	return nil
}

func (v *Verdict) compare(key string, acked, unknown, got []string) {
	have := map[string]int64{}
	for _, el := range got {
		have[el]++
	}
	for _, el := range acked {
		if have[el] == 0 {
			v.wrong(&v.Lost, 1, "%s: %s was acknowledged and is not there", key, el)
		}
		v.wrong(&v.Doubled, have[el]-1, "%s: %s is there %d times", key, el, have[el])
		delete(have, el)
	}
	for _, el := range unknown {
		delete(have, el) // retried by a client, it may be there more than once
	}
	for el := range have {
		v.wrong(&v.Invented, 1, "%s: %s is there and nobody wrote it", key, el)
	}
}

func (v *Verdict) counter(ctx context.Context, c redis.UniversalClient, key string, want Counter) error {
	get := func() (int64, error) { return c.Get(ctx, key).Int64() }
	if kind, err := c.Type(ctx, key).Result(); err == nil && kind == "hash" {
		get = func() (int64, error) { return c.HGet(ctx, key, "n").Int64() }
	}
	got, err := get()
	if err != nil && !errors.Is(err, redis.Nil) {
		return fmt.Errorf("%s: %w", key, err)
	}
	v.wrong(&v.Lost, want.Acked-got, "%s: is %d; %d were acknowledged", key, got, want.Acked)
	if want.Unknown == 0 {
		v.wrong(&v.Doubled, got-want.Acked, "%s: is %d; only %d were acknowledged", key, got, want.Acked)
	}
	return nil
}

func (v *Verdict) queue(ctx context.Context, c redis.UniversalClient, key string, q Queue) error {
	left, err := c.LRange(ctx, key, 0, -1).Result()
	if err != nil {
		return err
	}
	seen := map[string]int64{}
	for _, task := range slices.Concat(q.Popped, left) {
		seen[task]++
	}
	missing := int64(0)
	for _, task := range q.Pushed {
		if seen[task] == 0 {
			missing++
		}
		v.wrong(&v.Doubled, seen[task]-1, "%s: task %s came %d times", key, task, seen[task])
	}
	// A pop without an answer may have taken one task each.
	v.wrong(&v.Lost, missing-q.PopsUnknown, "%s: %d tasks were acknowledged and are nowhere", key, missing)
	return nil
}

func elements(ctx context.Context, c redis.UniversalClient, key, kind string) (out []string, err error) {
	switch kind {
	case "hash":
		return c.HKeys(ctx, key).Result()
	case "set":
		return c.SMembers(ctx, key).Result()
	case "zset":
		return c.ZRange(ctx, key, 0, -1).Result()
	case "list":
		return c.LRange(ctx, key, 0, -1).Result()
	}
	msgs, err := c.XRange(ctx, key, "-", "+").Result()
	for _, m := range msgs {
		el, _ := m.Values["e"].(string)
		out = append(out, el)
	}
	return out, err
}
