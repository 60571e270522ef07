package queue

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/redisproc"
	"github.com/transload/transload/internal/redistest"
)

const (
	producers = 3
	workers   = 3

	// batch is how many jobs are enqueued at a time.
	batch = 50

	// backlog is how many jobs may wait before producers do: they are bounded by what
	// the workers run, so that jobs are run from the first second to the last.
	backlog = 1000

	// longest is how long jobs may take to be run after the last event: asynq gives a
	// job back two minutes after its worker is gone, and waits up to a minute more.
	longest = 4 * time.Minute
)

// A fleet is producers in this process, and workers in others.
type fleet struct {
	t       *testing.T
	kind    string
	clients []redis.UniversalClient
	envs    []map[string]string
	dir     string
	workers []*roleProcess
	wg      sync.WaitGroup
	most    int // so many jobs may wait
	opts    []Option
	total   int
	begun   time.Time

	mu     sync.Mutex
	acked  map[int]bool // jobs that Redis has acknowledged; true if a replica has it
	failed int
}

func newFleet(t *testing.T, kind string, clients []redis.UniversalClient, envs ...map[string]string) *fleet {
	t.Helper()
	f := &fleet{t: t, kind: kind, clients: clients, envs: envs, dir: t.TempDir(), most: backlog, acked: map[int]bool{}}
	ledger := redistest.Standalone(t, redistest.Options{})
	for i := range workers {
		own := map[string]string{journalVar: f.path(fmt.Sprint("runs-", i)), effectsVar: f.path("effects"), ledgerVar: ledger.Addr()}
		f.workers = append(f.workers, startRole(t, kind, append(envs, own)...))
	}
	return f
}

func (f *fleet) path(name string) string { return filepath.Join(f.dir, name) }

// begin has the producers enqueue, over the time of spread or as fast as the workers
// run what they enqueue.
func (f *fleet) begin() {
	f.total = jobsOfLoad()
	pause := spread * batch * producers / time.Duration(f.total)
	f.begun = time.Now()
	for i, c := range f.clients {
		f.wg.Go(func() {
			enqueue := f.ours(c)
			if f.kind == "asynq" {
				enqueue = f.asynqs(c)
			}
			end := (i + 1) * f.total / producers
			for n := i * f.total / producers; n < end && !f.t.Failed(); n += batch {
				next := time.Now().Add(pause)
				f.room(c)
				enqueue(n, min(batch, end-n))
				time.Sleep(time.Until(next))
			}
		})
	}
}

// room waits until the workers have caught up. Who gets no answer goes on.
func (f *fleet) room(c redis.UniversalClient) {
	for {
		ctx, cancel := context.WithTimeout(f.t.Context(), time.Second)
		n, err := c.LLen(ctx, queueKey("freight", "pending")).Result()
		cancel()
		if err != nil || n < int64(f.most) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// strikes has something happen when a share of the jobs has been enqueued, while
// others wait and are run.
func (f *fleet) strikes(share float64, what string, event func()) {
	f.t.Helper()
	redistest.Eventually(f.t, longest, func() error {
		if n := f.settled(); float64(n) < share*float64(f.total) {
			return fmt.Errorf("%s: %d of %d jobs have been enqueued; want %v of them", what, n, f.total, share)
		}
		return nil
	})
	var q Info
	eventually(f.t, func() (err error) {
		if q, err = statsOf(f.t.Context(), f.clients[0], "freight"); err == nil && q.Active == 0 {
			err = errors.New("no job is run")
		}
		return err
	})
	before := f.settled()
	event()
	f.t.Logf("%s: after %d jobs were enqueued, while %d waited and %d were run; it took until %d", what, before, q.Pending, q.Active, f.settled())
	if before == f.total {
		f.t.Errorf("%s: all jobs had been enqueued; want more jobs, or this earlier", what)
	}
}

// settled is how many jobs have been enqueued, or not.
func (f *fleet) settled() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.acked) + f.failed
}

// ours enqueues jobs from n on.
func (f *fleet) ours(r redis.UniversalClient) func(n, count int) {
	c := clientOn(f.t, r, Options{Budget: 20 * time.Second})
	return func(n, count int) {
		all := make([]freight, count)
		for i := range all {
			all[i].N = n + i
		}
		receipts, err := haul.EnqueueAll(f.t.Context(), c, all, f.opts...)
		if err != nil && !errors.Is(err, ErrUnavailable) {
			f.t.Errorf("enqueue: %v", err)
		}
		for i, got := range receipts {
			f.note(n+i, got.State == New, got.Confirmed)
			if got.State == Duplicate {
				f.t.Errorf("job %d is a duplicate", n+i)
			}
		}
	}
}

// asynqs does so by asynq's client, one by one as it knows it.
func (f *fleet) asynqs(r redis.UniversalClient) func(n, count int) {
	c := asynq.NewClientFromRedisClient(r)
	return func(n, count int) {
		for i := range count {
			payload := fmt.Appendf(nil, `{"N":%d}`, n+i)
			_, err := c.EnqueueContext(f.t.Context(), asynq.NewTask("freight.haul", payload), asynq.Queue("freight"))
			f.note(n+i, err == nil, false)
		}
	}
}

func (f *fleet) note(n int, acked, confirmed bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !acked {
		f.failed++
		return
	}
	f.acked[n] = confirmed
}

// judge waits until nothing is left to run, and counts. After a failover Redis may
// have lost what no replica had confirmed.
func (f *fleet) judge(failover bool) {
	t := f.t
	f.wg.Wait()
	t.Logf("%d jobs were enqueued in %v", f.total, time.Since(f.begun).Round(time.Second))
	began := time.Now()
	left := f.wait()
	settled := time.Since(began).Round(time.Second)
	if left != nil {
		t.Logf("after %v jobs are left: %v", settled, left)
		if f.kind == "worker" {
			t.Error("want none")
		}
	}
	for _, w := range f.workers {
		w.end()
	}
	f.count(failover, settled)
}

// wait waits until no job is left to run, and returns what is at the longest.
func (f *fleet) wait() error {
	c := clientOn(f.t, f.clients[0], patient())
	for began := time.Now(); ; time.Sleep(200 * time.Millisecond) {
		infos, err := c.Queues(f.t.Context())
		for _, q := range infos {
			if q.Left() > 0 {
				err = fmt.Errorf("%d pending, %d active, %d to be tried again", q.Pending, q.Active, q.Retry)
			}
		}
		if err == nil || time.Since(began) > longest {
			return err
		}
	}
}

func (f *fleet) count(failover bool, settled time.Duration) {
	t := f.t
	runs, ended, failed := f.tell(""), f.tell(overMark), f.tell(failedMark)
	var missing, excused, again, errored, cut, twice, applied int
	for n, confirmed := range f.acked {
		switch {
		case runs[n] > 0:
		case failover && !confirmed:
			excused++
		default:
			missing++
		}
	}
	for n, times := range runs {
		switch {
		case times == 1:
			continue
		case failed[n] > 0:
			errored++
		case ended[n] < times:
			cut++
		}
		again++
	}
	for _, times := range notes(f.path("effects"), "") {
		applied++
		if times > 1 {
			twice++
		}
	}
	t.Logf("enqueued %d (refused or unknown %d); run at least once %d, lost %d, lost unconfirmed %d; run more than once %d (%d by an error of the handler, such as a ledger that did not answer in time; %d since the worker was gone; %d since redis lost or was not told that a run had ended); effects %d, applied more than once %d; settled %v after the last was enqueued",
		len(f.acked), f.failed, len(f.acked)-missing-excused, missing, excused, again, errored, cut, again-errored-cut, applied, twice, settled)
	if f.kind == "worker" && (missing > 0 || twice > 0) {
		t.Errorf("got %d jobs lost, %d effects applied twice; want none", missing, twice)
	}
}

// tell sums what the workers' journals have under a mark, by job.
func (f *fleet) tell(mark string) map[int]int {
	sums := map[int]int{}
	for i := range workers {
		for n, times := range notes(f.path(fmt.Sprint("runs-", i)), mark) {
			sums[n] += times
		}
	}
	return sums
}

// A roleProcess is this test binary in a role.
type roleProcess struct {
	t    *testing.T
	cmd  *exec.Cmd
	end  func()
	says *tail
}

func startRole(t *testing.T, role string, envs ...map[string]string) *roleProcess {
	t.Helper()
	p := &roleProcess{t: t, cmd: exec.Command(os.Args[0]), says: &tail{}}
	p.cmd.Env = append(append(os.Environ(), roleVar+"="+role), merged(envs...)...)
	p.cmd.Stdout, p.cmd.Stderr = p.says, p.says
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.end = sync.OnceFunc(func() {
		_ = stdin.Close()
		timer := time.AfterFunc(within, p.kill)
		_ = p.cmd.Wait()
		timer.Stop()
	})
	t.Cleanup(func() {
		p.end()
		if t.Failed() {
			t.Logf("a %s said at last:\n%s", role, p.says.last(3000))
		}
	})
	return p
}

// kill ends the process as kill -9 does.
func (p *roleProcess) kill() { _ = p.cmd.Process.Kill() }

// universal are members as the clients that they are.
func universal[C redis.UniversalClient](members []C) (list []redis.UniversalClient) {
	for _, m := range members {
		list = append(list, m)
	}
	return list
}

// opened are the clients of an app's producers.
func opened(t *testing.T, s interface {
	Env(string) map[string]string
}) (list []redis.UniversalClient) {
	for range producers {
		list = append(list, open(t, s))
	}
	return list
}

// ownerOf is the primary that has the queue.
func ownerOf(t *testing.T, set *redisproc.Set) *redisproc.Server {
	t.Helper()
	for _, s := range set.Primaries(t.Context()) {
		c := redistest.Client(t, s)
		if n, err := c.Exists(t.Context(), queueKey("freight", "processed")).Result(); err == nil && n > 0 {
			return s
		}
	}
	t.Fatal("no primary has the queue")
	return nil
}
