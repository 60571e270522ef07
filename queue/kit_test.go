package queue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/redistest"
)

// within is how long anything may take on a busy machine.
const within = time.Minute

// A parcel is the payload of these tests' jobs.
type parcel struct {
	To     string
	Weight int
}

// mini is a server inside the process, and a client of it.
func mini(t testing.TB) (*redis.Client, *miniredis.Miniredis) {
	t.Helper()
	s := miniredis.RunT(t)
	c := redis.NewClient(&redis.Options{Addr: s.Addr(), ContextTimeoutEnabled: true, DialerRetries: 1, MaxRetries: -1, DisableIdentity: true})
	t.Cleanup(func() { _ = c.Close() })
	return c, s
}

// patient are options for a machine that does other things as well.
func patient() Options { return Options{Budget: 20 * time.Second, Confirm: 10 * time.Second} }

func clientOn(t testing.TB, c redis.UniversalClient, o Options) *Client {
	t.Helper()
	q, err := NewClient(c, o)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// quick is a config that looks for jobs often.
func quick(queues ...string) Config {
	cfg := Config{Queues: map[string]int{}, Poll: 10 * time.Millisecond, Stop: 10 * time.Second}
	for _, q := range queues {
		cfg.Queues[q] = 1
	}
	return cfg
}

func serverOn(t testing.TB, c redis.UniversalClient, cfg Config) *Server {
	t.Helper()
	s, err := NewServer(c, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// run runs a server until the test ends or stop is called, which returns what Run
// returned.
func run(t testing.TB, s *Server) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	stop = sync.OnceValue(func() error { cancel(); return <-ended })
	t.Cleanup(func() { _ = stop() })
	return stop
}

// handled registers a handler that may not be refused.
func handled[T any](t testing.TB, s *Server, j *Job[T], f func(ctx context.Context, v T, m Meta) error) {
	t.Helper()
	if err := j.Handle(s, f); err != nil {
		t.Fatal(err)
	}
}

// sent enqueues a job that may not be refused.
func sent[T any](t testing.TB, c *Client, j *Job[T], v T, opts ...Option) Receipt {
	t.Helper()
	r, err := j.Enqueue(t.Context(), c, v, opts...)
	if err != nil {
		t.Fatalf("enqueue: %v", err)
	}
	return r
}

// eventually waits on a state.
func eventually(t testing.TB, f func() error) {
	t.Helper()
	redistest.Eventually(t, within, f)
}

// is waits until a job is in a stage.
func is(t testing.TB, c *Client, queue, id string, want Stage) (job JobInfo) {
	t.Helper()
	eventually(t, func() (err error) {
		if job, err = c.Find(t.Context(), queue, id); err == nil && job.Stage != want {
			err = fmt.Errorf("the job is %s; want %s", job.Stage, want)
		}
		return err
	})
	return job
}

// gone waits until a job is no more.
func gone(t testing.TB, c *Client, queue, id string) {
	t.Helper()
	eventually(t, func() error {
		if job, err := c.Find(t.Context(), queue, id); !errors.Is(err, ErrNotFound) {
			return fmt.Errorf("got %+v, %v; want that the job is gone", job, err)
		}
		return nil
	})
}

// A tally counts runs.
type tally struct {
	mu   sync.Mutex
	runs map[string]int
	list []string
}

func newTally() *tally { return &tally{runs: map[string]int{}} }

func (a *tally) add(what string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.runs[what]++
	a.list = append(a.list, what)
	return a.runs[what]
}

func (a *tally) of(what string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.runs[what]
}

func (a *tally) order() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.list)
}

// reaches waits until something was run so often.
func (a *tally) reaches(t testing.TB, what string, n int) {
	t.Helper()
	eventually(t, func() error {
		if got := a.of(what); got < n {
			return fmt.Errorf("%s was run %d times; want %d", what, got, n)
		}
		return nil
	})
}

// A breach is a hook by which Redis does not answer to what it names: before, the
// command is lost; after, it is carried out, and the reply is lost.
type breach struct {
	before, after atomic.Pointer[func(redis.Cmder) bool]
	lost          atomic.Int64
}

func (b *breach) set(p *atomic.Pointer[func(redis.Cmder) bool], f func(redis.Cmder) bool) {
	p.Store(&f)
}

func (b *breach) hits(p *atomic.Pointer[func(redis.Cmder) bool], cmd redis.Cmder) bool {
	f := p.Load()
	if f == nil || !(*f)(cmd) {
		return false
	}
	b.lost.Add(1)
	return true
}

func (b *breach) DialHook(next redis.DialHook) redis.DialHook { return next }

func (b *breach) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if b.hits(&b.before, cmd) {
			cmd.SetErr(io.EOF)
			return io.EOF
		}
		err := next(ctx, cmd)
		if b.hits(&b.after, cmd) {
			cmd.SetErr(io.EOF)
			return io.EOF
		}
		return err
	}
}

func (b *breach) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := next(ctx, cmds)
		if b.hits(&b.after, cmds[0]) {
			for _, cmd := range cmds {
				cmd.SetErr(io.EOF)
			}
			return io.EOF
		}
		return err
	}
}

// isAck tells the script by which a job that was run with success is acknowledged.
func isAck(cmd redis.Cmder) bool { return isScript(cmd, settles) }

func isScript(cmd redis.Cmder, want role) bool {
	if name := cmd.Name(); name != "evalsha" && name != "eval" {
		return false
	}
	args := cmd.Args()
	n, _ := args[2].(int)
	var keys []string
	for _, a := range args[3 : 3+n] {
		keys = append(keys, fmt.Sprint(a))
	}
	return roleOf(keys) == want
}

// A book takes logs.
type book struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *book) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *book) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func (b *book) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{Level: slog.LevelDebug}))
}
