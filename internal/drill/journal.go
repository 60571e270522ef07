package drill

import (
	"slices"
	"time"
)

// A call is one that was answered.
type call struct {
	n            int64 // its number among those of its goroutine
	began, ended time.Time
}

// keepFor is how far back a journal goes while nothing happens. It has to reach
// back before a fault by more than what a failover can lose, and bounds what a
// drill that waits for hours holds in memory.
const keepFor = 2 * time.Minute

// A journal holds the answered calls of one goroutine, oldest first.
type journal struct {
	calls  []call
	count  int64 // of all that were answered, forgotten ones too
	pinned bool  // nothing is forgotten any more
}

func (j *journal) add(c call) {
	j.count++
	j.calls = append(j.calls, c)
	if j.pinned || c.ended.Sub(j.calls[0].ended) < 2*keepFor {
		return
	}
	old := slices.IndexFunc(j.calls, func(k call) bool { return c.ended.Sub(k.ended) < keepFor })
	j.calls = slices.Clone(j.calls[old:]) // gives the memory back
}

// A Gap is a time in which nobody got an answer.
type Gap struct{ From, To time.Time }

// Length returns how long it was.
func (g Gap) Length() time.Duration { return g.To.Sub(g.From) }

// longestGap returns the longest time between from and to in which no call ended.
// The calls are in the order of their ends. What ended before from or after to
// does not count, so that a goroutine that never got an answer has a gap from
// end to end.
func longestGap(calls []call, from, to time.Time) Gap {
	longest, last := Gap{from, from}, from
	for _, c := range calls {
		if c.ended.Before(from) || c.ended.After(to) {
			continue
		}
		if g := (Gap{last, c.ended}); g.Length() > longest.Length() {
			longest = g
		}
		last = c.ended
	}
	if g := (Gap{last, to}); g.Length() > longest.Length() {
		longest = g
	}
	return longest
}

// merged returns the calls of several journals in the order of their ends.
func merged(journals ...[]call) []call {
	all := slices.Concat(journals...)
	slices.SortFunc(all, func(a, b call) int { return a.ended.Compare(b.ended) })
	return all
}
