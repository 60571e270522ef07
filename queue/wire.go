package queue

import (
	"context"
	_ "embed"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

//go:embed postpone.lua
var postponeLua string

// dequeuePause is how long a worker that got an error waits, and up to as long again:
// asynq asks at once, as fast as the processor can.
const dequeuePause = 150 * time.Millisecond

// A wire is the client on which asynq's server runs. It knows three of asynq's
// scripts by their keys, and passes on all else:
//
//   - dequeue is sent once: sent again after a lost reply it would take a second job,
//     and leave the first to its lease;
//   - acknowledgements are sent until they are answered or the lease is over. That is
//     the gate: asynq's own second try is broken, and the job would run again. One that
//     gives back a job which another run has finished is not sent, and one that archives
//     a job for what is no attempt has it wait instead;
//   - the list of jobs with leases that are over is empty. The sweeper looks after
//     these, without counting an attempt.
type wire struct {
	redis.UniversalClient
	finished *finished
	meter    *meter
	later    sync.Map // jobRef → time of the next run, after what is no attempt

	// asynq's own commands have no context that ends, so that they have one of these:
	// those that look for work until shortly after the server is to stop, all others
	// until it has to.
	looking, lasting context.Context
}

// ZAdd tells that the server is there.
func (w *wire) ZAdd(_ context.Context, key string, members ...redis.Z) *redis.IntCmd {
	return w.UniversalClient.ZAdd(w.lasting, key, members...)
}

// ZAddXX renews leases.
func (w *wire) ZAddXX(_ context.Context, key string, members ...redis.Z) *redis.IntCmd {
	return w.UniversalClient.ZAddXX(w.lasting, key, members...)
}

// ZRem tells that the server is gone.
func (w *wire) ZRem(_ context.Context, key string, members ...any) *redis.IntCmd {
	return w.UniversalClient.ZRem(w.lasting, key, members...)
}

// EvalSha is a script by its name.
func (w *wire) EvalSha(ctx context.Context, sha string, keys []string, args ...any) *redis.Cmd {
	return w.run(ctx, "evalsha", sha, keys, args)
}

// Eval is a script that the server does not know.
func (w *wire) Eval(ctx context.Context, text string, keys []string, args ...any) *redis.Cmd {
	return w.run(ctx, "eval", text, keys, args)
}

func (w *wire) run(ctx context.Context, verb, script string, keys []string, args []any) *redis.Cmd {
	switch roleOf(keys) {
	case dequeues:
		return w.dequeue(verb, script, keys, args)
	case settles:
		return w.gate(ctx, w.finished.taken(keys, args), verb, script, keys, args)
	case givesBack:
		return w.giveBack(ctx, verb, script, keys, args)
	case listsExpired:
		none := redis.NewCmd(ctx)
		none.SetVal([]any{})
		return none
	case tells:
		ctx = w.lasting
	default:
		ctx = w.looking
	}
	cmd := newScriptCmd(ctx, verb, script, keys, args)
	_ = w.Process(ctx, cmd)
	return cmd
}

// giveBack passes on asynq's retry, archive or requeue.
func (w *wire) giveBack(ctx context.Context, verb, script string, keys []string, args []any) *redis.Cmd {
	job := refOf(keys, args)
	if w.finished.claims(job) {
		return okay(ctx)
	}
	if at, ok := w.later.LoadAndDelete(job); ok && strings.HasSuffix(keys[len(keys)-1], "}:t:") { // archive's last key is a prefix
		keys = append(keys[:3:3], queueKey(job.queue, "retry"))
		return w.gate(ctx, jobRef{}, "eval", postponeLua, keys, []any{job.id, at.(time.Time).Unix()})
	}
	return w.gate(ctx, jobRef{}, verb, script, keys, args)
}

// A role is what a script of asynq's does.
type role uint8

const (
	other role = iota
	dequeues
	settles   // done, complete
	givesBack // retry, archive, requeue
	listsExpired
	tells // that the server is there, and what it runs
)

// roleOf tells a script by its keys, which have asynq's names in asynq's order.
func roleOf(keys []string) role {
	is := func(i int, part string) bool { return i < len(keys) && strings.HasSuffix(keys[i], "}:"+part) }
	switch {
	case len(keys) == 4 && is(0, "pending") && is(1, "paused"):
		return dequeues
	case is(0, "active") && is(1, "lease") && is(2, "pending"), is(1, "active") && is(2, "lease"):
		return givesBack
	case is(0, "active") && is(1, "lease"):
		return settles
	case len(keys) == 1 && is(0, "lease"):
		return listsExpired
	case len(keys) > 0 && strings.HasPrefix(keys[0], "asynq:servers:"):
		return tells
	}
	return other
}

func newScriptCmd(ctx context.Context, verb, script string, keys []string, args []any) *redis.Cmd {
	all := make([]any, 0, 3+len(keys)+len(args))
	all = append(all, verb, script, len(keys))
	for _, k := range keys {
		all = append(all, k)
	}
	cmd := redis.NewCmd(ctx, append(all, args...)...)
	cmd.SetFirstKeyPos(3)
	return cmd
}

// once is a command that go-redis and the migrating client do not send again.
type once struct{ *redis.Cmd }

// NoRetry tells them.
func (once) NoRetry() bool { return true }

func (w *wire) dequeue(verb, script string, keys []string, args []any) *redis.Cmd {
	cmd := newScriptCmd(w.looking, verb, script, keys, args)
	err := w.Process(w.looking, once{cmd})
	if err != nil && !errors.Is(err, redis.Nil) && !redis.HasErrorPrefix(err, "NOSCRIPT") { // one that is full answers with errors too
		w.meter.dequeueErrors.Inc()
		time.Sleep(dequeuePause + rand.N(dequeuePause)) // holds up asynq's one loop, as is wanted
	}
	return cmd
}

// gate sends an acknowledgement until it is answered, its lease is over, or the server
// has to stop. Mostly that is once.
func (w *wire) gate(ctx context.Context, job jobRef, verb, script string, keys []string, args []any) *redis.Cmd {
	cmd, over := w.acknowledge(ctx, job, verb, script, keys, args)
	if over {
		return cmd
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(w.lasting, cancel)()
	for wait := 50 * time.Millisecond; sleep(ctx, wait); wait = min(2*wait, time.Second) {
		if cmd, over = w.acknowledge(ctx, job, verb, script, keys, args); over {
			return cmd
		}
	}
	w.finished.ours(job)
	return okay(ctx)
}

// acknowledge sends an acknowledgement, and reports whether it was answered. A script
// that says NOT FOUND has been carried out before, its reply lost, or the job is not
// where it was left: a failover has taken it back, or a sweeper has. If it was run with
// success, it is finished all the same.
func (w *wire) acknowledge(ctx context.Context, job jobRef, verb, script string, keys []string, args []any) (*redis.Cmd, bool) {
	cmd := newScriptCmd(ctx, verb, script, keys, args)
	err := w.Process(ctx, cmd)
	switch {
	case err == nil:
		w.finished.settled(job)
	case redis.HasErrorPrefix(err, "NOT FOUND") || redis.HasErrorPrefix(err, "INTERNAL"):
		w.finished.elsewhere(job)
		w.meter.acksLate.Inc()
		return okay(ctx), true
	case redis.HasErrorPrefix(err, "NOSCRIPT"): // asynq sends it whole
	case answered(err):
		w.finished.ours(job)
	default:
		w.meter.acksHeld.Inc()
		return nil, false
	}
	return cmd, true
}

// okay is said to asynq where it can do nothing: to try again with a context that is
// over is all that it would.
func okay(ctx context.Context) *redis.Cmd {
	cmd := redis.NewCmd(ctx)
	cmd.SetVal("OK")
	return cmd
}
