// Package front makes go-redis clients that have no server: every command that
// is sent through one comes to a hook, which knows where it is to go.
package front

import (
	"context"
	"errors"
	"net"

	"github.com/redis/go-redis/v9"
)

var errDial = errors.New("front: a front has no connections")

// New makes a client that never dials and has no goroutines. Its commands and
// pipelines all come to h, which must not call what it is given as the next hook.
// go-redis has no other way to get its five hundred methods over a function.
func New(h redis.Hook) *redis.Client {
	c := redis.NewClient(&redis.Options{
		Addr: "127.0.0.1:0", Protocol: 2, PipelinePoolSize: -1, MaxRetries: -1, DisableIdentity: true,
		Dialer: func(context.Context, string, string) (net.Conn, error) { return nil, errDial },
	})
	c.AddHook(h)
	return c
}

// A Pipeliner is a client to which pipelines can be sent.
type Pipeliner interface {
	Pipeline() redis.Pipeliner
	TxPipeline() redis.Pipeliner
}

// Pipeline sends to a client the pipeline, or the transaction, that came to a
// hook. It returns the first error, as go-redis does.
func Pipeline(ctx context.Context, c Pipeliner, cmds []redis.Cmder) error {
	if IsTx(cmds) {
		return tx(ctx, c, cmds)
	}
	pipe := c.Pipeline()
	_ = pipe.BatchProcess(ctx, cmds...)
	_, err := pipe.Exec(ctx)
	return err
}

// tx sends a transaction as the client's own, which makes MULTI and EXEC anew.
// The replies to those two reach hooks only.
func tx(ctx context.Context, c Pipeliner, cmds []redis.Cmder) error {
	pipe := c.TxPipeline()
	_ = pipe.BatchProcess(ctx, Bare(cmds)...)
	_, err := pipe.Exec(ctx)
	multi, exec := cmds[0].(*redis.StatusCmd), cmds[len(cmds)-1].(*redis.SliceCmd)
	multi.SetErr(err)
	exec.SetErr(err)
	if err == nil {
		multi.SetVal("OK")
	}
	return err
}

// IsTx reports whether cmds are a transaction of go-redis's making, which begins
// with its MULTI and ends with its EXEC. MULTI that a user put into a pipeline has
// another type.
func IsTx(cmds []redis.Cmder) bool {
	if len(cmds) < 2 {
		return false
	}
	first, ok := cmds[0].(*redis.StatusCmd)
	if !ok || first.Name() != "multi" {
		return false
	}
	last, ok := cmds[len(cmds)-1].(*redis.SliceCmd)
	return ok && last.Name() == "exec"
}

// Bare strips MULTI and EXEC off a transaction; a pipeline it leaves as it is.
func Bare(cmds []redis.Cmder) []redis.Cmder {
	if IsTx(cmds) {
		return cmds[1 : len(cmds)-1]
	}
	return cmds
}
