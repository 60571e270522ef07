package migrate

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/command"
	"github.com/transload/transload/internal/protocol"
)

// An echo repeats on the other side what both have to know. It is bounded, and
// what finds no room is counted and dropped: publications are never sure to
// arrive, and a script that is missing is sent whole when it is called.
type echo struct {
	m       *member
	queue   chan echoed
	dropped atomic.Int64
	failed  atomic.Int64
}

type echoed struct {
	side protocol.Side
	args []any
	k    *command.Command
}

// echoRoom is what may wait for the other side: a second of what one process
// publishes when it publishes a lot.
const (
	echoRoom   = 4096
	echoWithin = time.Second // a side that is dead must not make a queue of it
)

func newEcho(m *member) *echo { return &echo{m: m, queue: make(chan echoed, echoRoom)} }

func (e *echo) add(p pass, cmd redis.Cmder, k *command.Command) {
	if !p.view.leased {
		return
	}
	select {
	case e.queue <- echoed{p.side.Other(), cmd.Args(), k}:
	default:
		e.dropped.Add(1)
	}
}

// run repeats one after the other, so that publications keep their order.
func (e *echo) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case x := <-e.queue:
			e.tell(ctx, x)
		}
	}
}

func (e *echo) tell(ctx context.Context, x echoed) {
	v := e.m.view.Load()
	p := v.pools[x.side]
	if !v.leased || p == nil || !p.valid(e.m.now()) {
		e.dropped.Add(1)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, echoWithin)
	defer cancel()
	if err := wholeServer(ctx, p.client, redis.NewCmd(ctx, x.args...), x.k); err != nil {
		e.failed.Add(1)
	}
}
