package topology

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// A key may have the empty name, and then lies in slot 0 like any other of that
// slot. go-redis sends commands on it to a master picked at random, and hopes to be
// sent on: without retries such a command fails on most calls.

// inSlotZero is a name that hashes to slot 0.
const inSlotZero = "3560"

// A namelessHook sends commands on the key with the empty name to its master.
type namelessHook struct{ cluster *redis.ClusterClient }

func (namelessHook) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h namelessHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if !nameless(cmd) {
			return next(ctx, cmd)
		}
		return h.process(ctx, next, cmd)
	}
}

// process asks the master, and if that is no longer it, goes the usual way.
func (h namelessHook) process(ctx context.Context, next redis.ProcessHook, cmd redis.Cmder) error {
	node, err := h.cluster.MasterForKey(ctx, inSlotZero)
	if err == nil {
		err = node.Process(ctx, cmd)
	}
	if _, moved := redis.IsMovedError(err); err == nil || !moved && cmd.Err() != nil {
		return err
	}
	return next(ctx, cmd)
}

func (h namelessHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		var here, others []redis.Cmder
		for i, cmd := range cmds {
			switch {
			case nameless(cmd):
				if here == nil {
					others = append(others, cmds[:i]...)
				}
				here = append(here, cmd)
			case here != nil:
				others = append(others, cmd)
			}
		}
		if here == nil || cmds[0].Name() == "multi" { // a transaction stays in one piece
			return next(ctx, cmds)
		}
		return h.split(ctx, next, here, others)
	}
}

// split runs a pipeline in two parts, and returns the error of the first command
// that has one.
func (h namelessHook) split(ctx context.Context, next redis.ProcessPipelineHook, here, others []redis.Cmder) (err error) {
	if len(others) > 0 {
		err = next(ctx, others)
	}
	node, e := h.cluster.MasterForKey(ctx, inSlotZero)
	if e != nil {
		return next(ctx, here)
	}
	pipe := node.Pipeline()
	for _, cmd := range here {
		_ = pipe.Process(ctx, cmd) // queued
	}
	if _, e = pipe.Exec(ctx); err == nil {
		err = e
	}
	return err
}

// nameless reports whether a command's key has the empty name.
func nameless(cmd redis.Cmder) bool {
	args := cmd.Args()
	if len(args) < 2 || !empty(args, 1) && !empty(args, 2) && !empty(args, 3) {
		return false // as nearly all
	}
	switch cmd.Name() {
	case "memory", "object", "xinfo", "xgroup", "debug":
		return empty(args, 2)
	case "eval", "evalsha", "eval_ro", "evalsha_ro", "fcall", "fcall_ro":
		return len(args) > 3 && fmt.Sprint(args[2]) != "0" && empty(args, 3)
	case "publish", "spublish", "echo", "ping", "auth", "script", "config", "client", "cluster":
		return false
	}
	return empty(args, 1)
}

func empty(args []any, at int) bool {
	if at >= len(args) {
		return false
	}
	text, ok := args[at].(string)
	return ok && text == ""
}
