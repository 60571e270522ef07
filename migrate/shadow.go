package migrate

import (
	"time"

	"github.com/redis/go-redis/v9"
)

// A shadow repeats a sample of the app's reads on the mirror, off the caller's
// path, and measures both sides.
type shadow struct {
	m     *member
	share float64
}

func newShadow(m *member, share float64) *shadow { return &shadow{m: m, share: share} }

// begin draws whether an operation is measured: its time, or the zero time. To
// be called right before the command is sent.
func (s *shadow) begin(p pass) time.Time { return time.Time{} }

// end takes a measured operation, with its reply in cmd, after leave has
// believed it. A zero time is nothing to do. The command is cloned, not kept.
func (s *shadow) end(p pass, cmd redis.Cmder, began time.Time) {}
