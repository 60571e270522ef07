package drill

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// Figures are what writers, or readers, saw.
type Figures struct {
	Goroutines    int               `json:"goroutines"`
	Answered      int64             `json:"answered"`        // calls, of all the drill
	OutageMS      float64           `json:"outage_ms"`       // the longest time that a goroutine had no answer
	MedianMS      float64           `json:"median_ms"`       // the same of the median goroutine
	SilentMS      float64           `json:"silent_ms"`       // the longest time that none of them had an answer
	LongestCallMS float64           `json:"longest_call_ms"` // answered or not
	Late          int64             `json:"late"`            // calls that outlived their own deadline
	Errors        map[string]int64  `json:"errors"`          // shown to the app, by kind
	Samples       map[string]string `json:"samples,omitempty"`
}

// Failed returns how many errors the app was shown.
func (f Figures) Failed() (n int64) {
	for _, k := range f.Errors {
		n += k
	}
	return n
}

// Writes returns what writers saw between two times. What is counted, and not
// timed, is of the whole load so far.
func (l *Load) Writes(from, to time.Time) Figures { return figures(l.writers, from, to) }

// Reads is Writes for readers.
func (l *Load) Reads(from, to time.Time) Figures { return figures(l.readers, from, to) }

func figures(workers []*worker, from, to time.Time) Figures {
	f := Figures{Goroutines: len(workers), Errors: map[string]int64{}, Samples: map[string]string{}}
	var gaps []time.Duration
	var calls [][]call
	for _, w := range workers {
		w.with(func() {
			gaps = append(gaps, longestGap(w.journal.calls, from, to).Length())
			calls = append(calls, w.journal.calls)
			f.Answered += w.journal.count
			f.Late += w.late
			f.LongestCallMS = max(f.LongestCallMS, ms(w.longest))
			for kind, n := range w.errors {
				f.Errors[kind] += n
			}
			maps.Copy(f.Samples, w.samples)
		})
	}
	if len(gaps) == 0 {
		return f
	}
	slices.Sort(gaps)
	f.OutageMS, f.MedianMS = ms(gaps[len(gaps)-1]), ms(gaps[len(gaps)/2])
	f.SilentMS = ms(longestGap(merged(calls...), from, to).Length())
	return f
}

// firstAnswer returns when, after t, the first call of a worker with a key in
// those slots was answered, or the zero time.
func firstAnswer(workers []*worker, t time.Time, in func(slot uint16) bool) (first time.Time) {
	for _, w := range workers {
		if !in(w.slot) {
			continue
		}
		w.with(func() {
			for _, c := range w.journal.calls {
				if c.ended.After(t) {
					if first.IsZero() || c.ended.Before(first) {
						first = c.ended
					}
					return
				}
			}
		})
	}
	return first
}

// lastAnswer returns when the last of the workers with a key in those slots had
// its first answer after t: end for one that never had.
func lastAnswer(workers []*worker, t, end time.Time, in func(slot uint16) bool) (last time.Time) {
	for _, w := range workers {
		first := firstAnswer([]*worker{w}, t, in)
		if first.IsZero() && in(w.slot) {
			first = end
		}
		last = later(last, first)
	}
	return last
}

// A Loss is what a journal has and the server has not.
type Loss struct {
	Acknowledged   int64     // writes that were looked for
	Lost           int64     // of these, not there
	Oldest, Latest time.Time // when the first and the last of the lost ones were acknowledged
}

// batch is how many keys are looked for, or removed, in one pipeline.
const batch = 500

// Check looks for every write of the journals that was acknowledged. Call it
// after Stop; c must read from primaries.
func (l *Load) Check(ctx context.Context, c redis.UniversalClient) (Loss, error) {
	var loss Loss
	for _, w := range l.writers {
		for some := range slices.Chunk(w.journal.calls, batch) {
			p := c.Pipeline()
			for _, k := range some {
				p.Exists(ctx, w.key(k.n))
			}
			there, err := p.Exec(ctx)
			if err != nil {
				return loss, fmt.Errorf("drill: look for what was written: %w", err)
			}
			for i, cmd := range there {
				loss.count(some[i], cmd.(*redis.IntCmd).Val() > 0)
			}
		}
	}
	return loss, nil
}

func (l *Loss) count(k call, there bool) {
	l.Acknowledged++
	if there {
		return
	}
	l.Lost++
	if l.Oldest.IsZero() || k.ended.Before(l.Oldest) {
		l.Oldest = k.ended
	}
	l.Latest = later(l.Latest, k.ended)
}

// Clean removes what the load has written, and returns the first error: a shard
// that is away does not keep the others' keys. What cannot be removed expires.
// Call it after Stop.
func (l *Load) Clean(ctx context.Context, c redis.UniversalClient) error {
	errs := make([]error, len(l.writers))
	var wg sync.WaitGroup
	for i, w := range l.writers {
		wg.Go(func() { errs[i] = w.clean(ctx, c) })
	}
	wg.Wait()
	return cmp.Or(errs...)
}

// clean removes every key that a writer has tried to write.
func (w *worker) clean(ctx context.Context, c redis.UniversalClient) error {
	for n := int64(1); n <= w.tried; n += batch {
		p := c.Pipeline()
		for k := n; k < n+batch && k <= w.tried; k++ {
			p.Unlink(ctx, w.key(k))
		}
		if _, err := p.Exec(ctx); err != nil {
			return fmt.Errorf("drill: remove what was written: %w", err)
		}
	}
	return nil
}

func ms(d time.Duration) float64 {
	return float64(d.Round(10*time.Microsecond)) / float64(time.Millisecond)
}
