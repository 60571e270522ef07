package topology

import (
	"context"
	"net"
	"syscall"

	"github.com/redis/go-redis/v9"
)

// wrapHook wraps connections where go-redis dials data servers: unlike the
// dialler of its options, a dial hook is not asked for sentinels.
type wrapHook struct{ wrap func(net.Conn) net.Conn }

func (h wrapHook) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := next(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		if _, none := conn.(unborn); none {
			return conn, nil
		}
		raw, _ := conn.(syscall.Conn)
		return withRaw(h.wrap(conn), raw), nil
	}
}

func (wrapHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

func (wrapHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// doubtHook tells of replies by which a server says that it is not the one to be
// asked: a demoted primary answers on connections that stay open.
type doubtHook struct{ doubt func(error) }

func (doubtHook) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h doubtHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if err != nil && doubtful(err) {
			h.doubt(err)
		}
		return err
	}
}

func (h doubtHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := next(ctx, cmds)
		if err != nil && doubtful(err) {
			h.doubt(err)
		}
		return err
	}
}

func doubtful(err error) bool {
	return redis.IsReadOnlyError(err) || redis.IsMasterDownError(err) || redis.IsClusterDownError(err)
}
