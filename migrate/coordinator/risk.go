package coordinator

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/migrate"
)

// A Risk is what may be lost with a side: what is known to have been changed on
// it, and is not known to be on the other. The two lists overlap.
type Risk struct {
	// Members are keys that processes of the app have written and not copied yet,
	// by workload. Each knows its own.
	Members map[string]migrate.Waiting `json:"members"`
	// Coordinator are keys of which the feeds told, and that had not been compared
	// since, by workload.
	Coordinator map[string]migrate.Waiting `json:"coordinator"`
	// Dropped is how many copies members have given up since they began. While a
	// coordinator ran it has repaired them.
	Dropped int64 `json:"dropped"`
	// VerifiedAt is when every key had last been compared, or null: then what was
	// not copied by then is lost, and nobody can tell how much that is.
	VerifiedAt When `json:"verified_at"`
	// ToldAt is when a coordinator last told of it, or null if none ever ran. What
	// scripts changed without declaring it is not known since.
	ToldAt When `json:"told_at"`
}

// Keys returns how many keys are known to be at risk, at the least.
func (r Risk) Keys() int { return max(sumWaiting(r.Members), sumWaiting(r.Coordinator)) }

// None reports whether every key had been compared, and nothing is known to have
// changed since.
func (r Risk) None() bool { return !r.VerifiedAt.IsZero() && r.Keys() == 0 }

func (r Risk) String() string {
	if r.VerifiedAt.IsZero() {
		return fmt.Sprintf("the first pass over all keys has not ended, so that nobody knows; %d keys are known to differ", r.Keys())
	}
	return fmt.Sprintf("%d keys had changed and not been copied, or not been compared since; every key was compared at %s",
		r.Keys(), r.VerifiedAt.UTC().Format(time.RFC3339))
}

// figures are those of a risk that the audit keeps.
func (r Risk) figures() map[string]string {
	f := map[string]string{}
	for who, by := range map[string]map[string]migrate.Waiting{"members": r.Members, "coordinator": r.Coordinator} {
		for w, x := range by {
			f["may_be_lost_"+w+"_by_"+who] = strconv.Itoa(x.Keys)
			f["since_"+w+"_by_"+who] = x.Since.UTC().Format(time.RFC3339)
			f["hashes_"+w+"_by_"+who] = strings.Join(x.Hashes, " ")
		}
	}
	if r.Dropped > 0 {
		f["copies_given_up"] = strconv.FormatInt(r.Dropped, 10)
	}
	f["every_key_compared"] = "never"
	if !r.VerifiedAt.IsZero() {
		f["every_key_compared"] = r.VerifiedAt.UTC().Format(time.RFC3339)
	}
	return f
}

func sumWaiting(by map[string]migrate.Waiting) (n int) {
	for _, w := range by {
		n += w.Keys
	}
	return n
}

// riskOf gathers what the members on the living side's roll tell, and what this
// coordinator knows, or the one that ran last has told there.
func (c *Coordinator) riskOf(ctx context.Context, t *term, living *side, roll []protocol.Entry) Risk {
	r := Risk{Members: map[string]migrate.Waiting{}, Coordinator: map[string]migrate.Waiting{}}
	for _, e := range roll {
		about, _ := aboutOf(e)
		r.Dropped += about.Mirror.Dropped
		for w, x := range about.Waiting {
			r.Members[w] = r.Members[w].Join(x)
		}
	}
	var l *Live
	if t != nil && t.syncer != nil {
		own := t.live()
		own.Waiting = t.syncer.waiting(mostWaiting)
		l = &own
	} else if l = liveOn(ctx, living); l == nil {
		return r
	}
	for w, x := range l.Waiting {
		r.Coordinator[w] = x
	}
	r.VerifiedAt, r.ToldAt = l.Sync.VerifiedAt, When{l.At}
	return r
}

const (
	// mostWaiting bounds the names that are looked at when a side is given up: all.
	mostWaiting = 1 << 20

	// toldWaiting bounds those of which a coordinator tells each second.
	toldWaiting = 10_000
)

// waiting tells by workload of up to n names that are to be compared.
func (s *syncer) waiting(n int) map[string]migrate.Waiting {
	v := s.view.Load()
	by := map[string]migrate.Waiting{}
	for name, since := range s.dirty.List(n) {
		w := v.router.Workload(name)
		by[w] = by[w].Add(name, since)
	}
	return by
}
