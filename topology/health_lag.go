package topology

import "time"

// reachesKept covers a minute of questions to a primary.
const reachesKept = 64

// lags finds out how far replicas are behind, in seconds, from what watchers see
// anyway. It keeps how far each primary was when it was asked. A replica that is
// as far as the primary was at a moment has what was written before it; between
// two such moments the writes are taken to have come evenly. Servers are asked at
// different moments of a second, so a replica that has everything may still be
// behind a primary that was asked later: the estimate takes that out.
//
// Only who posts snapshots touches it.
type lags map[string][]reach

// A reach is how far a primary was at a moment.
type reach struct {
	at     time.Time
	offset int64
}

// fill completes the replicas of a snapshot, which is about to be posted.
func (l lags) fill(s *snapshot) {
	seen := map[string]bool{}
	for _, n := range s.nodes {
		if n.Role == Master && n.err == nil && n.offset > 0 {
			l.note(n)
		}
		seen[n.Addr] = n.Role == Master
	}
	for addr := range l {
		if !seen[addr] {
			delete(l, addr) // another primary's offsets go on from elsewhere
		}
	}
	for i := range s.nodes {
		if n := &s.nodes[i]; n.Role == Replica {
			n.lag, n.lagKnown = l.of(s, n)
		}
	}
}

// note keeps an answer of a primary.
func (l lags) note(n nodeState) {
	list := l[n.Addr]
	last := len(list) - 1
	switch {
	case last >= 0 && !n.asked.After(list[last].at):
		return
	case last >= 0 && n.offset < list[last].offset: // it was restarted
		list = nil
	case len(list) == reachesKept:
		list = append(list[:0], list[1:]...)
	}
	l[n.Addr] = append(list, reach{n.asked, n.offset})
}

// of returns a replica's lag, and whether it is known.
func (l lags) of(s *snapshot, n *nodeState) (time.Duration, bool) {
	switch {
	case n.answered.IsZero() || n.syncing || n.loading:
		return 0, false
	case !n.linkUp:
		return s.at.Sub(n.linkLost), !n.linkLost.IsZero()
	}
	list := l[n.of]
	if list == nil && len(l) == 1 { // it may name its primary otherwise than we do
		list = l[s.primary()]
	}
	for i := len(list) - 1; i >= 0; i-- {
		if list[i].offset > n.offset {
			continue
		}
		if i == len(list)-1 {
			return 0, true
		}
		return max(0, n.asked.Sub(between(list[i], list[i+1], n.offset))), true
	}
	if len(list) == 0 {
		return 0, false
	}
	least := n.asked.Sub(list[0].at)
	return least, least > lagWell // else it may be anything
}

// between returns when a primary reached an offset, if it was below it at a and
// above it at b.
func between(a, b reach, offset int64) time.Time {
	share := float64(offset-a.offset) / float64(b.offset-a.offset)
	return a.at.Add(time.Duration(share * float64(b.at.Sub(a.at))))
}
