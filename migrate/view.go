package migrate

import (
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/transload/transload/internal/protocol"
)

// A view is what a member knows at one moment: which side serves which keys,
// and through which pools. It never changes once it is installed; the next view
// replaces it.
type view struct {
	phase     protocol.Phase
	leased    bool               // a side may be used only under a valid lease
	only      protocol.Side      // the side that serves every key, reads and writes, and nothing moves; or None
	every     protocol.Side      // the side that takes writes of every key, even if some are to move; or None
	underWay  bool               // a move is under way
	held      bool               // some key takes no writes now
	blank     bool               // no key may be read or written: nothing is known yet, or this member does not fit
	ranges    [][]protocol.Range // by workload
	between   bool               // a move is held, or committed and not granted
	pools     [3]*pool           // by side; nil where there is no lease
	copies    [3]*pool           // for copies to a side; nil unless there are both leases
	target    float64            // share of all slots that the target serves
	why       string             // why an operation may have to wait, in words
	changed   chan struct{}      // closed when the next view is installed
	heldSince protocol.Instant   // when the hold began, as far as this member is concerned
	writes    counter            // writes and copies under way, to keys that stay
	moving    counter            // the same, to keys that move
}

// serve returns the side that serves a unit, or None while an operation waits,
// and whether the unit is about to move.
func (v *view) serve(u unit, write bool) (protocol.Side, bool) {
	if v.only != protocol.None {
		return v.only, false
	}
	if v.blank {
		return protocol.None, false
	}
	r := span(v.ranges[u.workload], u.slot)
	if write {
		return r.Write, r.Moving
	}
	return r.Read, r.Moving
}

// place returns the side that serves all the units, whether one of them is about
// to move, and split if they lie on two sides. None means that an operation on
// them has to wait. No units mean every key for a write, and the larger side for
// a read.
func (v *view) place(units []unit, write bool) (side protocol.Side, moving, split bool) {
	switch {
	case v.only != protocol.None:
		return v.only, false, false
	case v.blank:
		return protocol.None, false, false
	case len(units) == 0 && !write:
		return v.larger(), true, false
	case len(units) == 0:
		return v.every, true, v.every == protocol.None && !v.held
	}
	for i, u := range units {
		s, mv := v.serve(u, write)
		if s == protocol.None {
			return protocol.None, false, false
		}
		if i > 0 && s != side {
			split = true
		}
		side, moving = s, moving || mv
	}
	return side, moving, split
}

// larger returns the side that serves more slots: keyless reads go there.
func (v *view) larger() protocol.Side {
	switch {
	case v.only != protocol.None:
		return v.only
	case v.target > 0.5:
		return protocol.Target
	}
	return protocol.Source
}

// mirrored reports whether what is written is copied to the other side.
func (v *view) mirrored() bool { return v.leased }

// A counter counts operations under way. It is striped, so that members with
// many cores do not fight for one cache line.
type counter struct {
	stripes [8]struct {
		n     atomic.Int64
		since atomic.Int64           // when the stripe was last found empty, in nanoseconds of the member's clock
		name  atomic.Pointer[string] // of the operation that found it so
		_     [40]byte
	}
}

// add counts one operation and returns the stripe on which to take it off, and
// whether it is alone on it.
func (c *counter) add(now protocol.Instant) (stripe uint8, alone bool) {
	i := uint8(rand.Uint32() & 7)
	if c.stripes[i].n.Add(1) > 1 {
		return i, false
	}
	c.stripes[i].since.Store(int64(now.Mono))
	c.stripes[i].name.Store(nil)
	return i, true
}

func (c *counter) done(i uint8) { c.stripes[i].n.Add(-1) }

// zero reports whether nothing is under way. On a view that is no longer
// installed an operation is counted on one stripe until it ends, so that a zero
// read on each stripe, at whatever moments, means that all have ended.
func (c *counter) zero() bool { return c.sum() == 0 }

func (c *counter) sum() (n int64) {
	for i := range c.stripes {
		n += c.stripes[i].n.Load()
	}
	return n
}

// oldest returns for how long, at most, the oldest operation has been under way,
// and what it probably is: on its stripe it was the first.
func (c *counter) oldest(now protocol.Instant) (d time.Duration, name string) {
	for i := range c.stripes {
		s := &c.stripes[i]
		age := now.Mono - time.Duration(s.since.Load())
		if s.n.Load() == 0 || age < d {
			continue
		}
		d, name = age, ""
		if text := s.name.Load(); text != nil {
			name = *text
		}
	}
	return d, name
}
