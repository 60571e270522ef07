package coordinator

import (
	"strings"
	"time"

	"github.com/transload/transload/internal/protocol"
)

const (
	// answerKept is how long an answer lies there for who asked. It looks every 150 ms:
	// one that has not taken it off by then was killed, or lost both sides.
	answerKept = 10 * time.Minute

	// knownFor is how long the id of a request is remembered that is off its side: one
	// that fails over may bring it back, and it must not be carried out again. No
	// replica that is promoted is that far behind.
	knownFor = 24 * time.Hour
)

// forget drops what belongs to requests that their askers have taken off a side.
func (d *desk) forget(s protocol.Side, fields map[string]string, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for id, j := range d.known {
		if j.side != s {
			continue
		}
		if _, asked := fields[askField+id]; j.off(!asked, now) {
			delete(d.known, id)
		}
	}
}

// off notes whether a job's request is off its side, and reports whether nobody can
// ask for it any more. The answer is dropped at once, the id is kept.
func (j *job) off(is bool, now time.Time) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case !is || j.over.IsZero():
		j.gone = time.Time{}
		return false
	case j.gone.IsZero():
		j.gone = now
		j.ans = answer{Done: true}
	}
	return now.Sub(j.gone) > knownFor
}

// stale returns the fields of a side that nobody will take off: those of a verb that
// has long been over, and those that nobody here knows, such as what was asked of an
// earlier coordinator.
func (d *desk) stale(s protocol.Side, fields map[string]string, now time.Time) (old []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for field := range fields {
		if field == liveField {
			continue
		}
		_, id, _ := strings.Cut(field, ":")
		if j := d.known[id]; j != nil && j.keptFor(now) > answerKept || j == nil && d.seenFor(s, field, now) > answerKept {
			old = append(old, field)
		}
	}
	for name := range d.strays {
		if field, here := strings.CutPrefix(name, s.String()+" "); here {
			if _, there := fields[field]; !there {
				delete(d.strays, name)
			}
		}
	}
	return old
}

// keptFor is how long a job's answer has been there.
func (j *job) keptFor(now time.Time) time.Duration {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.over.IsZero() {
		return 0
	}
	return now.Sub(j.over)
}

// seenFor is how long a field has been seen that nobody here knows.
func (d *desk) seenFor(s protocol.Side, field string, now time.Time) time.Duration {
	name := s.String() + " " + field
	first, ok := d.strays[name]
	if !ok {
		d.strays[name] = now
		return 0
	}
	return now.Sub(first)
}
