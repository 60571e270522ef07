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
		raw, _ := conn.(syscall.Conn)
		return withRaw(h.wrap(conn), raw), nil
	}
}

func (wrapHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

func (wrapHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// dataOnly keeps WithOnConnect's function from connections to sentinels. go-redis
// hands OnConnect to its sentinel clients as well, and gives no way to tell them
// apart but that hooks are called on the one kind and not on the other. So a
// question is asked on the connection, which the hook of the data client answers
// without sending it; on a sentinel it goes out, as the PING that it is.
type dataOnly struct{}

// A dataQuestion is answered by dataOnly's hook.
type dataQuestion struct {
	*redis.StatusCmd
	yes bool
}

func (dataOnly) onConnect(f func(context.Context, *redis.Conn) error) func(context.Context, *redis.Conn) error {
	return func(ctx context.Context, cn *redis.Conn) error {
		q := &dataQuestion{StatusCmd: redis.NewStatusCmd(ctx, "ping")}
		if err := cn.Process(ctx, q); err != nil {
			return err
		}
		if !q.yes {
			return nil
		}
		return f(ctx, cn)
	}
}

func (dataOnly) DialHook(next redis.DialHook) redis.DialHook { return next }

func (dataOnly) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if q, ok := cmd.(*dataQuestion); ok {
			q.yes = true
			return nil
		}
		return next(ctx, cmd)
	}
}

func (dataOnly) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}
