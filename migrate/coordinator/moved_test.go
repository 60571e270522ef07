package coordinator

import (
	"testing"
	"time"

	"github.com/transload/transload/internal/protocol"
)

// TestSilentOnARoll: a line leaves the taker's roll only if its member was seen to
// say nothing there for a lease and a tenth, on our own clock.
func TestSilentOnARoll(t *testing.T) {
	at := protocol.Instant{Mono: time.Hour, Wall: time.Hour}
	seen := rollSeen{at: at, beats: map[string]uint64{"a": 7}}
	for name, tt := range map[string]struct {
		line protocol.Entry
		now  protocol.Instant
		want bool
	}{
		"silent for a lease and a tenth": {protocol.Entry{ID: "a", Beat: 7}, at.Add(protocol.SilentFor), true},
		"silent for less":                {protocol.Entry{ID: "a", Beat: 7}, at.Add(protocol.LeaseFor), false},
		"it has beaten since":            {protocol.Entry{ID: "a", Beat: 8}, at.Add(time.Minute), false},
		"not seen at the beginning":      {protocol.Entry{ID: "b", Beat: 7}, at.Add(time.Minute), false},
	} {
		if got := seen.silent(tt.line, tt.now); got != tt.want {
			t.Errorf("%s: got %v; want %v", name, got, tt.want)
		}
	}
	if (rollSeen{}).silent(protocol.Entry{ID: "a"}, at) {
		t.Error("a roll that did not answer shows a member to be silent")
	}
}
