package topology

import (
	"context"
	"net"
	"slices"
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

// An unsentHook gives the error with which a pipeline was not sent to each of its
// commands. Where a server refuses the handshake of a new connection (the password
// is another, it has too many clients), go-redis returns that from Exec alone: it
// takes any server's answer for the reply to one of the commands. Who looks at
// each command then finds no error, and believes that it was carried out.
type unsentHook struct{}

func (unsentHook) DialHook(next redis.DialHook) redis.DialHook { return next }

func (unsentHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

func (unsentHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := next(ctx, cmds)
		if err == nil || slices.ContainsFunc(cmds, func(cmd redis.Cmder) bool { return cmd.Err() != nil }) {
			return err
		}
		for _, cmd := range cmds {
			cmd.SetErr(err)
		}
		return err
	}
}

// An errorHook shows how each command that is sent has ended, nil for well.
type errorHook struct{ look func(error) }

func (errorHook) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h errorHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		h.look(err)
		return err
	}
}

func (h errorHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := next(ctx, cmds)
		if err == nil { // else it is that of the first command that failed, be it for want of a key
			h.look(nil)
			return nil
		}
		for _, cmd := range cmds {
			h.look(cmd.Err())
		}
		return err
	}
}

// heed has what servers say of themselves in their replies heard: that one is not
// to be asked now, by doubt, and that it refuses writes. addr is where a command
// that has just failed was sent.
func (c *Client) heed(rdb *redis.Client, addr func() string, doubt func(error)) {
	rdb.AddHook(errorHook{func(err error) {
		switch {
		case err == nil:
		case doubtful(err):
			doubt(err)
		case refusesWrites(err):
			c.refused.note(addr(), err)
		}
	}})
}

// doubtful reports whether a server says that it is not the one to be asked: a
// demoted primary answers on connections that stay open.
func doubtful(err error) bool {
	return redis.IsReadOnlyError(err) || redis.IsMasterDownError(err) || redis.IsClusterDownError(err)
}
