package queue

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/front"
)

// A script is one by which asynq enqueues.
type script struct {
	text string
	sha  any // a string, boxed once
}

// A shape is what decides by which script a job is enqueued.
type shape struct{ later, unique bool }

// scripts are asynq's own, of the asynq that this program is built with.
var scripts = sync.OnceValues(learn)

// errAsynq means that this program is built with an asynq that works in another way
// than the one that is known here.
var errAsynq = errors.New("queue: this version of asynq works in another way than v0.26: build with that, or with a later version of ours")

const (
	asynqPath = "github.com/hibiken/asynq"

	// asynqKnown begins the versions whose server is known: what its scripts do is told
	// by their keys (roleOf), which nobody can see without running it.
	asynqKnown = "v0.26."
)

// known returns errAsynq for a program that is built with another asynq.
func known(built *debug.BuildInfo) error {
	if built == nil {
		return nil // by a tool that does not say
	}
	for _, m := range built.Deps {
		if m.Path == asynqPath && !strings.HasPrefix(m.Version, asynqKnown) {
			return fmt.Errorf("%w (it is %s)", errAsynq, m.Version)
		}
	}
	return nil
}

// learn has asynq's client enqueue a job of each shape on a client that sends
// nothing. So the scripts are asynq's; and what we give them is seen to be what asynq
// gives them.
func learn() (map[shape]*script, error) {
	built, _ := debug.ReadBuildInfo()
	if err := known(built); err != nil {
		return nil, err
	}
	t := &tape{UniversalClient: front.New(refuser{})}
	defer func() { _ = t.Close() }()
	found := map[shape]*script{}
	now := time.Now()
	for _, s := range []shape{{false, false}, {false, true}, {true, false}, {true, true}} {
		if err := t.record(sample(s, now)); err != nil {
			return nil, fmt.Errorf("%w (%w)", errAsynq, err)
		}
		found[s] = &script{text: t.text, sha: redis.NewScript(t.text).Hash()}
		e := sample(s, now)
		e.compose(found, now)
		if !t.same(e.args) {
			return nil, errAsynq
		}
	}
	return found, nil
}

// sample is a job that has all that a job can have.
func sample(s shape, now time.Time) *entry {
	e := &entry{name: "a.type", payload: []byte(`{"n":1}`), nonce: strings.Repeat("0123456789abcdef", 2)}
	e.settings = settings{queue: "a-queue", id: "an-id", attempts: 300, timeout: time.Hour, deadline: now.Add(48 * time.Hour), retain: 24 * time.Hour}
	if s.later {
		e.at = now.Add(time.Hour)
	}
	if s.unique {
		e.unique = time.Hour
	}
	return e
}

// compose makes the command by which asynq would enqueue a job.
func (e *entry) compose(known map[shape]*script, now time.Time) {
	s := shape{e.at.After(now), e.unique > 0}
	lock := e.lock()
	task, list, message := taskKey(e.queue, e.id), queueKey(e.queue, "pending"), e.message(lock)
	if s.later {
		list = queueKey(e.queue, "scheduled")
	}
	e.script = known[s]
	sha := e.script.sha
	switch s {
	case shape{}:
		e.args = []any{"evalsha", sha, 2, task, list, message, e.id, now.UnixNano()}
	case shape{later: true}:
		e.args = []any{"evalsha", sha, 2, task, list, message, e.at.Unix(), e.id}
	case shape{unique: true}:
		e.args = []any{"evalsha", sha, 3, lock, task, list, e.id, int(seconds(e.unique)), message, now.UnixNano()}
	default:
		ttl := seconds(e.at.Add(e.unique).Sub(now))
		e.args = []any{"evalsha", sha, 3, lock, task, list, e.id, int(ttl), e.at.Unix(), message}
	}
}

// command makes the command anew, since a command has room for one reply.
func (e *entry) command(ctx context.Context) *redis.Cmd {
	args := e.args
	if e.whole {
		args = slices.Clone(args)
		args[0], args[1] = "eval", e.script.text
	}
	cmd := redis.NewCmd(ctx, args...)
	cmd.SetFirstKeyPos(3)
	return cmd
}

// firstKey is in the same slot as the others.
func (e *entry) firstKey() string { return e.args[3].(string) }

// A tape is a client that notes which script it is told to run, and sends nothing.
type tape struct {
	redis.UniversalClient
	text string
	args []any // keys among them, as in a command
}

// record has asynq's client enqueue a job.
func (t *tape) record(e *entry) error {
	mark := fmt.Sprintf("%s/%d", e.nonce, seconds(e.retain))
	task := asynq.NewTaskWithHeaders(e.name, e.payload, map[string]string{header: mark})
	opts := []asynq.Option{asynq.TaskID(e.id), asynq.Queue(e.queue), asynq.MaxRetry(e.attempts - 1), asynq.Timeout(e.timeout), asynq.Retention(e.retain)}
	if !e.deadline.IsZero() {
		opts = append(opts, asynq.Deadline(e.deadline))
	}
	if !e.at.IsZero() {
		opts = append(opts, asynq.ProcessAt(e.at))
	}
	if e.unique > 0 {
		opts = append(opts, asynq.Unique(e.unique))
	}
	_, err := asynq.NewClientFromRedisClient(t).Enqueue(task, opts...)
	return err
}

// same reports whether a command of ours is what was noted, but for the time that
// went by in between.
func (t *tape) same(args []any) bool {
	return slices.EqualFunc(t.args, args[2:], func(a, b any) bool {
		switch a := a.(type) {
		case int: // seconds, or how many keys there are
			b, ok := b.(int)
			return ok && max(a-b, b-a) <= 1
		case int64: // a time, in seconds or nanoseconds
			b, ok := b.(int64)
			return ok && max(a-b, b-a) < int64(time.Minute)
		}
		return reflect.DeepEqual(a, b)
	})
}

// SAdd is asynq's note that a queue exists, which Client.announce makes instead.
func (t *tape) SAdd(ctx context.Context, _ string, _ ...any) *redis.IntCmd {
	return redis.NewIntCmd(ctx)
}

// EvalSha has asynq send the script whole.
func (t *tape) EvalSha(ctx context.Context, _ string, _ []string, _ ...any) *redis.Cmd {
	cmd := redis.NewCmd(ctx)
	cmd.SetErr(redis.ErrNoScript)
	return cmd
}

// Eval notes a script.
func (t *tape) Eval(ctx context.Context, text string, keys []string, args ...any) *redis.Cmd {
	t.text, t.args = text, []any{len(keys)}
	for _, k := range keys {
		t.args = append(t.args, k)
	}
	t.args = append(t.args, args...)
	cmd := redis.NewCmd(ctx)
	cmd.SetVal(int64(1))
	return cmd
}

// A refuser is what comes of anything else that an asynq of another version sends.
type refuser struct{}

func (refuser) DialHook(next redis.DialHook) redis.DialHook { return next }

func (refuser) ProcessHook(redis.ProcessHook) redis.ProcessHook {
	return func(_ context.Context, cmd redis.Cmder) error {
		err := fmt.Errorf("it enqueues by %s", cmd.Name())
		cmd.SetErr(err)
		return err
	}
}

func (r refuser) ProcessPipelineHook(redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error { return r.ProcessHook(nil)(ctx, cmds[0]) }
}
