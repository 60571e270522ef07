package topology

import (
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// refusalLife is for how long a write that was refused tells of the server. While
// the cause lasts, the next write refreshes it.
const refusalLife = 5 * time.Second

// refusals remembers the latest write that a primary refused while it answers
// everything else: too few replicas in touch, no memory left, no snapshot to be
// saved. INFO does not tell the first one without CONFIG, which many may not ask.
// That a server is a replica, INFO does tell.
type refusals struct{ latest atomic.Pointer[refusal] }

type refusal struct {
	addr string
	err  error
	at   time.Time
}

func (r *refusals) note(addr string, err error) { r.latest.Store(&refusal{addr, err, time.Now()}) }

// why says that the present primary has refused a write just now, or "".
func (r *refusals) why(s *snapshot, now time.Time) string {
	last := r.latest.Load()
	if last == nil || now.Sub(last.at) > refusalLife {
		return ""
	}
	if !slices.ContainsFunc(s.nodes, func(n nodeState) bool { return n.Role == Master && n.Addr == last.addr }) {
		return "" // it was replaced since
	}
	return fmt.Sprintf("the primary %s refuses writes: %v", last.addr, last.err)
}

func refusesWrites(err error) bool {
	return redis.IsNoReplicasError(err) || redis.IsOOMError(err) || redis.HasErrorPrefix(err, "MISCONF ")
}
