package queue

import (
	"context"
	"crypto/sha1" // the name that Redis gives a script, not a secret
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/front"
)

// header is the one that our jobs have: "nonce/retention in seconds".
const header = "transload"

// A call is the script by which asynq would enqueue a job.
type call struct {
	entry *entry
	text  string // of the script
	sha   string
	keys  []string
	args  []any
	done  bool // answered
	taken bool // the id, or the unique lock
	last  error
	whole bool // send the script, not its name
}

// A recorder has asynq's own client say by which script, keys and arguments it would
// enqueue. So what we put into Redis is what the asynq that we are built with puts
// there, and many jobs can be sent at once, on one connection, and again.
type recorder struct {
	asynq *asynq.Client
	tape  *tape
}

func newRecorder() *recorder {
	t := &tape{UniversalClient: front.New(refuser{})}
	return &recorder{asynq: asynq.NewClientFromRedisClient(t), tape: t}
}

func (r *recorder) close() error { return r.tape.Close() }

// record returns the call for a job.
func (r *recorder) record(ctx context.Context, e *entry) (*call, error) {
	c := &call{entry: e}
	mark := e.nonce + "/" + strconv.FormatInt(int64(e.retain.Seconds()), 10)
	task := asynq.NewTaskWithHeaders(e.name, e.payload, map[string]string{header: mark})
	opts := make([]asynq.Option, 0, 8)
	opts = append(opts, asynq.TaskID(e.id), asynq.Queue(e.queue), asynq.MaxRetry(e.attempts-1), asynq.Timeout(e.timeout))
	if e.retain > 0 {
		opts = append(opts, asynq.Retention(e.retain))
	}
	if !e.deadline.IsZero() {
		opts = append(opts, asynq.Deadline(e.deadline))
	}
	if !e.at.IsZero() {
		opts = append(opts, asynq.ProcessAt(e.at))
	}
	if e.unique > 0 {
		opts = append(opts, asynq.Unique(e.unique))
	}
	if _, err := r.asynq.EnqueueContext(context.WithValue(ctx, tapeKey{}, c), task, opts...); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOption, err)
	}
	return c, nil
}

// nonceOf reads our header.
func nonceOf(h map[string]string) (nonce, retain string) {
	nonce, retain, _ = strings.Cut(h[header], "/")
	return nonce, retain
}

type tapeKey struct{}

// A tape is the client on which asynq's runs. It sends nothing.
type tape struct {
	redis.UniversalClient
	texts sync.Map // sha → text
}

// SAdd is asynq's note that a queue exists, which Client.announce makes instead.
func (t *tape) SAdd(ctx context.Context, _ string, _ ...any) *redis.IntCmd {
	return redis.NewIntCmd(ctx)
}

// EvalSha notes a script's arguments. One that is not known yet comes whole next.
func (t *tape) EvalSha(ctx context.Context, sha string, keys []string, args ...any) *redis.Cmd {
	cmd := redis.NewCmd(ctx)
	text, known := t.texts.Load(sha)
	if !known {
		cmd.SetErr(redis.ErrNoScript)
		return cmd
	}
	c := ctx.Value(tapeKey{}).(*call)
	c.text, c.sha, c.keys, c.args = text.(string), sha, keys, args
	cmd.SetVal(int64(1))
	return cmd
}

// Eval is a script that is not known yet.
func (t *tape) Eval(ctx context.Context, text string, keys []string, args ...any) *redis.Cmd {
	sum := sha1.Sum([]byte(text))
	sha := hex.EncodeToString(sum[:])
	t.texts.Store(sha, text)
	return t.EvalSha(ctx, sha, keys, args...)
}

// A refuser is what comes of anything else that an asynq of another version sends.
type refuser struct{}

func (refuser) DialHook(next redis.DialHook) redis.DialHook { return next }

func (refuser) ProcessHook(redis.ProcessHook) redis.ProcessHook {
	return func(_ context.Context, cmd redis.Cmder) error {
		err := fmt.Errorf("queue: asynq enqueues by %s, which this version of ours does not know", cmd.Name())
		cmd.SetErr(err)
		return err
	}
}

func (r refuser) ProcessPipelineHook(redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error { return r.ProcessHook(nil)(ctx, cmds[0]) }
}
