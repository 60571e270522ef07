package topology

import (
	"context"
	"errors"
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

// hook returns one that tells of refusals; addr is where a command that has just
// failed was sent. A command that succeeds costs no more than a comparison.
func (r *refusals) hook(addr func() string) redis.Hook {
	return refusalHook{func(err error) {
		if err != nil && !errors.Is(err, redis.Nil) && refusesWrites(err) {
			r.latest.Store(&refusal{addr(), err, time.Now()})
		}
	}}
}

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

// A refusalHook shows errors of commands.
type refusalHook struct{ look func(error) }

func (refusalHook) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h refusalHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		h.look(err)
		return err
	}
}

func (h refusalHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := next(ctx, cmds)
		if err != nil { // it is the first command's that failed, as one that found no key
			for _, cmd := range cmds {
				h.look(cmd.Err())
			}
		}
		return err
	}
}
