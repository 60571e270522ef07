package pubsub

import (
	"fmt"
	"slices"
)

func sortBySeq(list []*message) {
	slices.SortFunc(list, func(a, b *message) int { return int(a.seq - b.seq) })
}

// A sink is told when there is something to fetch for a follow. It must not block.
type sink interface{ wake(f *follow) }

// A follow is one subscriber's place in a topic. Nothing is queued for him: he fetches
// what comes after his place from what the topic keeps for all. Guarded by topic.mu.
type follow struct {
	t      *topic
	to     sink
	epoch  string // his place
	sent   int64
	whole  bool  // for Latest: he has had a snapshot; what has changed since is enough
	base   int64 // number at which his snapshot began: keys removed before it need not be told
	missed bool  // he is to be told of a gap
	awake  bool  // he knows that there is something to fetch
	gone   bool
}

// An item is a message to be handed to a subscriber, or something that he has to know
// before the next one.
type item struct {
	what Kind
	pos  string
	m    *message
}

// place puts a follow where its subscriber left off, or, without a position, at the
// end: of history, nothing; of last values, all. The topic is loaded.
func (f *follow) place(since string) error {
	t := f.t
	t.mu.Lock()
	defer t.mu.Unlock()
	f.epoch, f.sent = t.epoch(), t.seq
	if t.latest != nil {
		f.sent = 0
	}
	if since != "" {
		epoch, seq, ok := parsePosition(since)
		if !ok {
			return fmt.Errorf("%w: since is not a position that was given out", ErrTopic)
		}
		f.epoch, f.sent = epoch, seq
		// Of last values a position is worth something only if nothing has been since: who
		// has been away does not know which keys were removed.
		f.whole = t.latest != nil && epoch == t.epoch() && seq == t.seq
	}
	f.awake = true // he fetches first by himself
	t.follows[f] = true
	return nil
}

// here is the place after which nothing has been given out.
func (f *follow) here() string {
	f.t.mu.Lock()
	defer f.t.mu.Unlock()
	return position(f.epoch, f.sent)
}

// leave ends a follow.
func (f *follow) leave() {
	f.t.mu.Lock()
	defer f.t.mu.Unlock()
	f.gone = true
	delete(f.t.follows, f)
}

// fetch returns what comes next, up to some bytes, and whether there is more.
func (f *follow) fetch(bytes int) (items []item, more bool, err error) {
	t := f.t
	t.mu.Lock()
	defer t.mu.Unlock()
	if f.gone {
		return nil, false, nil
	}
	if t.latest != nil {
		items, more = f.fetchLatest(bytes)
	} else {
		items, more, err = f.fetchHistory(bytes)
	}
	f.awake = more
	return items, more, err
}

// fetchLatest returns a snapshot to who has none, or whose place says nothing of what
// he has, and else what has changed.
func (f *follow) fetchLatest(bytes int) (items []item, more bool) {
	t := f.t
	if f.epoch != t.epoch() {
		f.whole = f.whole && crossed(t.line, f.epoch, f.sent)
		f.epoch = t.epoch()
	}
	if !f.whole || f.sent < t.latest.floor && f.base < t.latest.floor {
		f.whole, f.sent, f.base = true, 0, t.seq
		items = append(items, item{what: Snapshot, pos: position(f.epoch, 0)})
	}
	t.latest.after(f.sent, func(m *message) bool {
		if bytes <= 0 && m.seq > f.sent { // keys that were found gone share a number
			more = true
			return false
		}
		f.sent = m.seq
		if !m.removed || m.seq > f.base {
			items = append(items, item{what: Published, m: m})
			bytes -= m.size + len(m.topic) + 64
		}
		return true
	})
	if !more {
		f.sent = t.seq
	}
	return items, more
}

// crossed reports whether nothing was lost from a place in an earlier line to the
// present one.
func crossed(line []span, epoch string, seq int64) bool {
	at := find(line, epoch)
	if at < 0 || at < len(line)-1 && seq > line[at].end {
		return false
	}
	for _, s := range line[at : len(line)-1] {
		if !s.whole {
			return false
		}
	}
	return true
}

// fetchHistory returns the messages after the follow's place, line by line, and a gap
// wherever it is not certain that none is missing.
func (f *follow) fetchHistory(bytes int) (items []item, more bool, err error) {
	for bytes > 0 {
		if f.missed {
			items = f.gap(items)
		}
		at := find(f.t.line, f.epoch)
		if at < 0 {
			f.restart()
			continue
		}
		last := at == len(f.t.line)-1
		end := f.t.seq
		if !last {
			end = min(f.t.line[at].end, f.t.seq)
		}
		if f.sent > end { // he has had what was lost since, or a place that was never given out
			f.sent, f.missed = end, true
			continue
		}
		list, floor := f.t.ring.after(f.sent, end)
		if f.sent < floor && f.sent < end {
			if f.t.policy.Slow == SlowClose {
				return items, false, ErrSlow
			}
			f.sent, f.missed = min(floor, end), true
			continue
		}
		for _, m := range list {
			if bytes <= 0 {
				return items, true, nil
			}
			items = append(items, item{what: Published, m: m})
			f.sent = m.seq
			bytes -= m.size + len(m.topic) + 64
		}
		if last {
			return items, false, nil
		}
		f.epoch, f.missed = f.t.line[at+1].epoch, !f.t.line[at].whole
	}
	return items, true, nil
}

// gap tells of a gap at the follow's place, once if there are two in a row.
func (f *follow) gap(items []item) []item {
	f.missed = false
	if n := len(items); n > 0 && items[n-1].what == Gap {
		items = items[:n-1]
	}
	return append(items, item{what: Gap, pos: position(f.epoch, f.sent)})
}

// restart puts a follow whose line nobody knows any more at the beginning of what is
// kept if that is all new, and else at its end.
func (f *follow) restart() {
	t := f.t
	f.epoch, f.sent, f.missed = t.epoch(), t.seq, true
	if len(t.line) == 1 { // the key was made anew, so that whatever there is came after his place
		_, floor := t.ring.after(0, t.seq)
		f.sent = min(floor, t.seq)
	}
}
