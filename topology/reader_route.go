package topology

import (
	"context"
	"slices"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/command"
	"github.com/transload/transload/internal/front"
)

// A readHook routes what comes to a client: as a hook of a cluster's client,
// which hands on what is for the primaries, or of a front.
type readHook struct {
	r       *reader
	primary *redis.Client // behind a front; nil: the hook's next
}

func (readHook) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h readHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	if h.primary != nil {
		next = h.primary.Process
	}
	inner := func(ctx context.Context, cmd redis.Cmder) error { return h.r.process(ctx, cmd, next) }
	return func(ctx context.Context, cmd redis.Cmder) error {
		run := redis.ProcessHook(inner)
		for _, hook := range h.r.userHooks() {
			if outer := hook.ProcessHook(run); outer != nil {
				run = outer
			}
		}
		return run(ctx, cmd)
	}
}

func (h readHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	if h.primary != nil {
		next = func(ctx context.Context, cmds []redis.Cmder) error { return front.Pipeline(ctx, h.primary, cmds) }
	}
	inner := func(ctx context.Context, cmds []redis.Cmder) error { return h.r.pipeline(ctx, cmds, next) }
	return func(ctx context.Context, cmds []redis.Cmder) error {
		run := redis.ProcessPipelineHook(inner)
		for _, hook := range h.r.userHooks() {
			if outer := hook.ProcessPipelineHook(run); outer != nil {
				run = outer
			}
		}
		return run(ctx, cmds)
	}
}

// userHooks returns the hooks of AddHook, the latest first.
func (r *reader) userHooks() []redis.Hook {
	if hooks := r.hooks.Load(); hooks != nil {
		return *hooks
	}
	return nil
}

func (r *reader) addHook(hook redis.Hook) {
	r.mu.Lock()
	defer r.mu.Unlock()
	hooks := append([]redis.Hook{hook}, r.userHooks()...)
	r.hooks.Store(&hooks)
}

// process sends one command where it belongs.
func (r *reader) process(ctx context.Context, cmd redis.Cmder, primary redis.ProcessHook) error {
	var buf [4]string
	keys, ok := replicaKeys(buf[:0], cmd)
	if !ok {
		return r.own.during(func() error { return primary(ctx, cmd) }, cmd)
	}
	return r.read(ctx, keys, single{cmd, primary})
}

// replicaKeys appends the keys of a read that may go to a replica; it returns
// false for any other command. What writes its reply somewhere by itself goes to
// the primary, since it cannot be run again elsewhere.
func replicaKeys(dst []string, cmd redis.Cmder) ([]string, bool) {
	args := cmd.Args()
	k, ok := command.Lookup(args)
	if !ok || cmd.NoRetry() || !k.Replica(args) {
		return dst, false
	}
	keys, err := k.AppendKeys(dst, args)
	return keys, err == nil && len(keys) > len(dst)
}

// pipeline sends a pipeline where it belongs: to a replica if it holds nothing
// but reads of one shard's keys.
func (r *reader) pipeline(ctx context.Context, cmds []redis.Cmder, primary redis.ProcessPipelineHook) error {
	keys, ok := r.pipelineKeys(cmds)
	if !ok {
		return r.own.during(func() error { return primary(ctx, cmds) }, front.Bare(cmds)...)
	}
	return r.read(ctx, keys, batch{cmds, primary})
}

func (r *reader) pipelineKeys(cmds []redis.Cmder) (keys []string, ok bool) {
	for _, cmd := range cmds {
		if keys, ok = replicaKeys(keys, cmd); !ok {
			return nil, false // MULTI too
		}
	}
	table := r.routes.Load()
	if table == nil || table.bySlot == nil {
		return keys, len(keys) > 0
	}
	home := table.of(command.Slot(keys[0]))
	return keys, !slices.ContainsFunc(keys, func(key string) bool { return table.of(command.Slot(key)) != home })
}

// A work is a read, or several, that can be run on one server after another.
type work interface {
	on(ctx context.Context, rdb *redis.Client) error // as a replica's
	onPrimary(ctx context.Context) error
	n() int64
}

type single struct {
	cmd     redis.Cmder
	primary redis.ProcessHook
}

func (w single) n() int64                                        { return 1 }
func (w single) on(ctx context.Context, rdb *redis.Client) error { return rdb.Process(ctx, w.cmd) }
func (w single) onPrimary(ctx context.Context) error {
	w.cmd.SetErr(nil)
	return w.primary(ctx, w.cmd)
}

type batch struct {
	cmds    []redis.Cmder
	primary redis.ProcessPipelineHook
}

func (w batch) n() int64 { return int64(len(w.cmds)) }

// on returns the first error that says that the server could not answer; an
// answer such as WRONGTYPE is none while there is another.
func (w batch) on(ctx context.Context, rdb *redis.Client) error {
	err := front.Pipeline(ctx, rdb, w.cmds)
	for _, cmd := range w.cmds {
		if one := cmd.Err(); answerOf(one) != answered {
			return one
		}
	}
	return err
}

func (w batch) onPrimary(ctx context.Context) error {
	for _, cmd := range w.cmds {
		cmd.SetErr(nil)
	}
	return w.primary(ctx, w.cmds)
}
