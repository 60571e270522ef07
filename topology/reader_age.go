package topology

import (
	"sync"
	"time"
)

// A history tells how old a replica's data are. It keeps, for each stream of
// writes (a replication id), how far the primary was at which moment. A replica
// that is as far as the primary was at a moment t has all that was acknowledged
// before t: the offset was asked for at t, the primary answers one command after
// the other, and what it had acknowledged by then lies before that offset.
//
// So a replica's data are of the latest such t that is known, and its age is the
// time since. This one number says whether it lags, whether it has lost its
// primary or the primary is dead (nothing new is known then, and the age grows),
// and whether it has seen a given write of this process.
//
// Moments are counted in nanoseconds since the reader was made, on the monotonic
// clock; 0 is never.
type history struct {
	mu      sync.Mutex
	streams map[string][]mark // by replication id; oldest first, at most historyLen
}

// A mark is how far the primary was at a moment.
type mark struct{ at, offset int64 }

// historyLen covers half a minute of looks. A replica that is further behind
// keeps the age that it has; it is left out by then.
const historyLen = 64

// add notes that the primary was asked at a moment and answered with an offset.
func (h *history) add(id string, m mark) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.streams == nil {
		h.streams = map[string][]mark{}
	}
	list := h.streams[id]
	switch n := len(list); {
	case n > 0 && list[n-1].offset == m.offset: // nothing was written since
		list[n-1].at = max(list[n-1].at, m.at)
		return
	case n == historyLen:
		list = append(list[:0], list[1:]...)
	}
	h.streams[id] = append(list, m)
	h.forget(m.at - int64(time.Hour))
}

// forget drops streams that have no primary any more. mu is held.
func (h *history) forget(before int64) {
	for id, list := range h.streams {
		if list[len(list)-1].at < before {
			delete(h.streams, id)
		}
	}
}

// reached returns of which moment the data are that reach up to an offset, 0 if
// they are older than what is kept, and whether the stream is known at all.
func (h *history) reached(id string, offset int64) (at int64, known bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := h.streams[id]
	for i := len(list) - 1; i >= 0; i-- {
		if list[i].offset <= offset {
			return list[i].at, true
		}
	}
	return 0, len(list) > 0
}
