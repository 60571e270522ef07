package topology

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
)

// seatPrimary says whether connections are to be made, and to whom.
func (s *watchState) seatPrimary() {
	absence := s.absence()
	if s.conns != nil && s.says(s.current) == Replica {
		s.conns.end(errDemoted)
		s.conns = nil
	}
	if s.current != "" && s.conns == nil && s.says(s.current) != Replica {
		s.conns = newBundle(s.current, s.w.broke)
	}
	s.tellPrimary(absence)
	waiting := cmp.Or(absence, s.inDoubt())
	futile := s.current == "" && s.allRefuse()
	now := &seat{conns: s.conns, epoch: s.epoch, waiting: waiting, since: s.lost, futile: futile}
	if old := s.w.seat.Load(); !now.same(old) {
		now.next = make(chan struct{})
		s.w.seat.Store(now)
		close(old.next)
	}
}

// absence says why there is no primary to connect to, or "".
func (s *watchState) absence() string {
	n := s.nodes[s.current]
	switch {
	case s.current == "":
		return s.silence()
	case n == nil:
		return ""
	case n.err != nil:
		return fmt.Sprintf("%s does not answer (%v), and nobody has taken its place yet", s.current, n.err)
	case s.says(s.current) == Replica:
		return s.current + " says that it is a replica, and nobody has taken its place yet"
	case n.loading:
		return s.current + " is reading its data"
	}
	return ""
}

// inDoubt says that a connection broke since the primary was asked last, or "":
// who connects to a server that hangs waits in vain, and one try is spent.
func (s *watchState) inDoubt() string {
	if n := s.nodes[s.current]; n != nil && n.asked.Before(s.broken) {
		return "a connection to " + s.current + " broke, and it has not answered since"
	}
	return ""
}

// silence says what the sentinels say while they name no primary.
func (s *watchState) silence() string {
	var errs []error
	for _, addr := range slices.Sorted(maps.Keys(s.sentinels)) {
		if err := s.sentinels[addr].err; err != nil {
			errs = append(errs, fmt.Errorf("sentinel %s: %w", addr, err))
		}
	}
	if len(errs) == 0 {
		return "no sentinel has answered yet"
	}
	return errors.Join(errs...).Error()
}

// allRefuse reports whether every sentinel has answered, and none will tell: a
// wrong password or name does not pass by itself.
func (s *watchState) allRefuse() bool {
	for _, x := range s.sentinels {
		_, refused := errors.AsType[redis.Error](x.err)
		if !refused && !errors.Is(x.err, errNoMaster) {
			return false
		}
	}
	return true
}

// tellPrimary tells of the primary's going and coming.
func (s *watchState) tellPrimary(waiting string) {
	n := s.nodes[s.current]
	answers := waiting == "" && n != nil && n.err == nil && !n.asked.Before(s.chosen)
	if s.underFailover() {
		s.startFailover()
	}
	switch {
	case waiting != "" && s.lost.IsZero():
		s.lost = s.now
		s.begin(s.now)
		if s.ready {
			s.ready = false
			s.emit(Event{Kind: Reconnecting, Addr: s.current})
		}
	case answers && s.seen && !s.ready:
		s.ready = true
		s.emit(Event{Kind: Ready, Addr: s.current, Duration: s.away()})
	}
	if answers && !s.started.IsZero() && !s.underFailover() {
		s.emit(Event{Kind: FailoverEnded, Addr: s.current, Duration: s.now.Sub(s.started)})
		s.started = time.Time{}
	}
	if answers {
		s.lost = time.Time{}
	}
}

// away is how long there was no primary.
func (s *watchState) away() time.Duration {
	if s.lost.IsZero() {
		return 0
	}
	return s.now.Sub(s.lost)
}
