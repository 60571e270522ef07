package queue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/migrate"
	"github.com/transload/transload/migrate/coordinator"
	"github.com/transload/transload/topology"
)

// Variables of the processes of a load.
const (
	roleVar    = "QUEUE_LOAD_ROLE" // worker, asynq, coordinator
	journalVar = "QUEUE_LOAD_JOURNAL"
	effectsVar = "QUEUE_LOAD_EFFECTS" // the file that stands for the world outside
	ledgerVar  = "QUEUE_LOAD_LEDGER"  // address of the ledger's Redis
)

// effectEach is which jobs have an effect that must not be applied twice.
const effectEach = 4

// play is main of a process of the load. It ends when its standard input does.
func play(role string) int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { _, _ = io.Copy(io.Discard, os.Stdin); cancel() }() // ends with the process
	err := map[string]func(context.Context) error{"worker": playWorker, "asynq": playAsynq, "coordinator": playCoordinator}[role](ctx)
	if err != nil && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, role+":", err)
		return 1
	}
	return 0
}

// dial makes the client that an app has: migrating if there is a target.
func dial(ctx context.Context, getenv func(string) string) (redis.UniversalClient, error) {
	source, err := topology.FromEnv("REDIS", getenv)
	if err != nil {
		return nil, err
	}
	target, err := topology.FromEnv("REDIS_TARGET", getenv)
	if errors.Is(err, topology.ErrDisabled) {
		return topology.Open(source)
	}
	if err != nil {
		return nil, err
	}
	return migrate.Open(ctx, migrate.Options{Source: source, Target: target})
}

// A journal is a file of lines. Each is written at once, so that kill -9 loses none.
type journal struct{ f *os.File }

func openJournal(variable string) (*journal, error) {
	f, err := os.OpenFile(os.Getenv(variable), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	return &journal{f}, err
}

func (j *journal) note(n int) error { return j.write("", n) }

// over notes that a run has ended with success.
func (j *journal) over(n int) error { return j.write(overMark, n) }

// failed notes that one has ended with an error.
func (j *journal) failed(n int) error { return j.write(failedMark, n) }

const (
	overMark   = "over "
	failedMark = "failed "
)

func (j *journal) write(mark string, n int) error {
	_, err := j.f.WriteString(mark + strconv.Itoa(n) + "\n")
	return err
}

// notes counts the lines of a journal that have a mark, by number.
func notes(path, mark string) map[int]int {
	data, _ := os.ReadFile(path)
	counts := map[int]int{}
	for line := range strings.Lines(string(data)) {
		text, ok := strings.CutPrefix(strings.TrimSpace(line), mark)
		if n, err := strconv.Atoi(text); ok && err == nil {
			counts[n]++
		}
	}
	return counts
}

// A freight is a job of the load.
type freight struct{ N int }

var haul = Define[freight]("freight.haul", In("freight"))

// loadConcurrency is how many jobs a worker runs at a time.
const loadConcurrency = 24

// loadWork is what a job does: so long that some ten run in each worker whenever
// something happens.
func loadWork() { time.Sleep(20 * time.Millisecond) }

// playWorker runs jobs by us. Each is noted; some have an effect by Once.
func playWorker(ctx context.Context) error {
	client, err := dial(ctx, os.Getenv)
	if err != nil {
		return err
	}
	runs, err := openJournal(journalVar)
	if err != nil {
		return err
	}
	world, err := openJournal(effectsVar)
	if err != nil {
		return err
	}
	ledger, err := NewRedisLedger(redis.NewClient(&redis.Options{Addr: os.Getenv(ledgerVar)}), 0)
	if err != nil {
		return err
	}
	s, err := NewServer(client, Config{Queues: map[string]int{"freight": 1}, Concurrency: loadConcurrency, Poll: 50 * time.Millisecond,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))})
	if err != nil {
		return err
	}
	err = haul.Handle(s, func(ctx context.Context, v freight, m Meta) error {
		if err := runs.note(v.N); err != nil {
			return err
		}
		loadWork()
		if v.N%effectEach == 0 {
			known := Ask(func(context.Context) (bool, error) { return notes(os.Getenv(effectsVar), "")[v.N] > 0, nil })
			err := Once(ctx, ledger, m.IdempotencyKey, func(context.Context) error { return world.note(v.N) }, known, Claim(5*time.Second))
			if err != nil {
				return errors.Join(err, runs.failed(v.N))
			}
		}
		return runs.over(v.N)
	})
	if err != nil {
		return err
	}
	return s.Run(ctx)
}

// playAsynq runs the same jobs by asynq alone, with its defaults. The effect is
// applied where the handler is.
func playAsynq(ctx context.Context) error {
	client, err := dial(ctx, os.Getenv)
	if err != nil {
		return err
	}
	runs, err := openJournal(journalVar)
	if err != nil {
		return err
	}
	world, err := openJournal(effectsVar)
	if err != nil {
		return err
	}
	s := asynq.NewServerFromRedisClient(client, asynq.Config{Concurrency: loadConcurrency, Queues: map[string]int{"freight": 1}, LogLevel: asynq.FatalLevel})
	err = s.Start(asynq.HandlerFunc(func(_ context.Context, task *asynq.Task) error {
		v, err := decode[freight](task.Payload(), defaultPayload)
		if err != nil {
			return err
		}
		if err := runs.note(v.N); err != nil {
			return err
		}
		loadWork()
		if v.N%effectEach == 0 {
			if err := world.note(v.N); err != nil {
				return err
			}
		}
		return runs.over(v.N)
	}))
	if err != nil {
		return err
	}
	<-ctx.Done()
	s.Shutdown()
	return nil
}

// playCoordinator moves everything to the target.
func playCoordinator(ctx context.Context) error {
	source, err := topology.FromEnv("REDIS", os.Getenv)
	if err != nil {
		return err
	}
	target, err := topology.FromEnv("REDIS_TARGET", os.Getenv)
	if err != nil {
		return err
	}
	c, err := coordinator.Open(coordinator.Options{Source: source, Target: target, Hold: loadHold,
		Limits: coordinator.Limits{P99: time.Minute, MirrorFails: 1000, ReadsDiffer: 1000, Lag: time.Minute}})
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	for err = coordinator.ErrAborted; errors.Is(err, coordinator.ErrAborted) && ctx.Err() == nil; {
		_, err = c.Cutover(ctx, coordinator.CutoverRequest{To: []int{100}})
	}
	return err
}

// merged is the environment of a process.
func merged(envs ...map[string]string) (list []string) {
	for name, value := range redistest.Merge(envs...) {
		list = append(list, name+"="+value)
	}
	return list
}

// tail keeps the end of what a process says.
type tail struct{ book }

func (t *tail) last(n int) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.TrimSpace(t.buf.Bytes()[max(0, t.buf.Len()-n):]))
}
