package queue

import (
	"context"
	_ "embed"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

//go:embed finish.lua
var finishLua string

var finishScript = redis.NewScript(finishLua)

const (
	// ackSoon is how long asynq may take to begin an acknowledgement. It begins at
	// once, or never: when the lease has ended while the handler ran.
	ackSoon = time.Second

	// statsFor is how long asynq keeps the counts of a day.
	statsFor = 90 * 24 * time.Hour
)

// A jobRef names a job that is run here.
type jobRef struct{ queue, id string }

// A finish is a job that was run with success, which Redis may not know yet.
type finish struct {
	nonce, retain string    // empty for a task that asynq has enqueued
	due           time.Time // when we settle it ourselves, unless asynq has
}

// finished are the jobs that this process has run with success and that Redis has not
// acknowledged. They stay until it has, however long it is away: finished is finished
// for as long as the process lives.
type finished struct {
	mu   sync.Mutex
	jobs map[jobRef]finish
}

func newFinished() *finished { return &finished{jobs: map[jobRef]finish{}} }

// add notes a job, before its handler's success is told to asynq.
func (f *finished) add(job jobRef, x finish) {
	x.due = time.Now().Add(ackSoon)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.jobs[job] = x
}

// has reports whether a job was run with success before: then it is not run again.
func (f *finished) has(job jobRef, nonce string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return nonce != "" && f.jobs[job].nonce == nonce
}

// taken returns the job that asynq acknowledges, and leaves it to asynq for now.
func (f *finished) taken(keys []string, args []any) jobRef {
	job := refOf(keys, args)
	f.set(job, time.Time{})
	return job
}

// claims reports whether a job that asynq gives back was run with success, by another
// run of it: then we settle it.
func (f *finished) claims(job jobRef) bool { return f.nonceOf(job) != "" && f.set(job, time.Now()) }

// elsewhere is said of a job that is not where it was left. If it is one of asynq's
// own it is left to fate, as asynq does: another job may have its id by now.
func (f *finished) elsewhere(job jobRef) {
	if f.nonceOf(job) == "" {
		f.settled(job)
		return
	}
	f.ours(job)
}

func (f *finished) nonceOf(job jobRef) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.jobs[job].nonce
}

// ours leaves a job to us.
func (f *finished) ours(job jobRef) { f.set(job, time.Now()) }

func (f *finished) set(job jobRef, due time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	x, ok := f.jobs[job]
	if ok {
		x.due = due
		f.jobs[job] = x
	}
	return ok
}

// refOf reads the keys and arguments of an acknowledgement.
func refOf(keys []string, args []any) jobRef {
	_, rest, _ := strings.Cut(keys[0], "{")
	queue, _, _ := strings.Cut(rest, "}")
	id, _ := args[0].(string)
	return jobRef{queue, id}
}

// settled forgets a job: Redis knows.
func (f *finished) settled(job jobRef) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.jobs, job)
}

func (f *finished) size() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.jobs)
}

// waiting are the jobs that we have to settle now; all of them, when a server stops.
func (f *finished) waiting(all bool) map[jobRef]finish {
	now := time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	jobs := maps.Clone(f.jobs)
	maps.DeleteFunc(jobs, func(_ jobRef, x finish) bool { return !all && (x.due.IsZero() || now.Before(x.due)) })
	return jobs
}

// flush settles what is waiting, until one is not answered.
func (f *finished) flush(ctx context.Context, c redis.Scripter, all bool) error {
	for job, x := range f.waiting(all) {
		if err := settleJob(ctx, c, job, x); err != nil {
			return err
		}
		if f.nonceOf(job) == x.nonce { // else a later job of this id has been run meanwhile
			f.settled(job)
		}
	}
	return nil
}

func settleJob(ctx context.Context, c redis.Scripter, job jobRef, x finish) error {
	now := time.Now().UTC()
	keys := []string{taskKey(job.queue, job.id)}
	for _, part := range []string{"active", "lease", "pending", "scheduled", "retry", "archived", "completed",
		"processed:" + now.Format(time.DateOnly), "processed"} {
		keys = append(keys, queueKey(job.queue, part))
	}
	retain := x.retain
	if retain == "" {
		retain = "0"
	}
	return finishScript.Run(ctx, c, keys, job.id, x.nonce, retain, now.Add(statsFor).Unix()).Err()
}

// ids are for logs: they tell nothing of what was in the jobs.
func (f *finished) ids() (list []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for job := range f.jobs {
		list = append(list, job.id)
	}
	slices.Sort(list)
	return list
}
