package keysync

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Compare says for each key how mirror differs from authority, in the order of
// keys. It writes nothing. A key that could not be compared has an Err; the
// first of these is also returned.
func Compare(ctx context.Context, authority, mirror *Side, keys []string, opts Options) ([]Result, error) {
	return start(ctx, authority, mirror, keys, opts, true, false)
}

// Copy makes each key of to equal to what from holds, and deletes those that
// from does not hold (any more), whatever to held before. Results and errors
// are as with Compare.
func Copy(ctx context.Context, from, to *Side, keys []string, opts Options) ([]Result, error) {
	return start(ctx, from, to, keys, opts, false, true)
}

// Sync does what Compare and then Copy would, but writes only the keys that
// differ, and reads them once.
func Sync(ctx context.Context, from, to *Side, keys []string, opts Options) ([]Result, error) {
	return start(ctx, from, to, keys, opts, true, true)
}

// Fill is Sync for keys that to is thought not to have, as in the first pass over
// an empty target: nothing is read of to, and nothing that it holds is written
// over. What turns out to be there, or to be gone from from, is left to Sync.
func Fill(ctx context.Context, from, to *Side, keys []string, opts Options) ([]Result, error) {
	j, err := newJob(ctx, from, to, opts)
	if err != nil {
		return nil, err
	}
	if !j.fromCaps.Dump || !j.toCaps.Restore {
		return Sync(ctx, from, to, keys, opts)
	}
	j.fills, j.writes = true, true
	if err := j.run(ctx, j.tasks(keys)); err != nil {
		return j.results, err
	}
	var rest []task
	for i, r := range j.results {
		if r.Diff == Unknown && r.Action == None && r.Err == nil {
			rest = append(rest, task{key: r.Key, index: i})
		}
	}
	j.fills, j.compares = false, true
	if err := j.run(ctx, rest); err != nil {
		return j.results, err
	}
	return j.end()
}

// A task is one key that is not yet done.
type task struct {
	key   string
	index int   // in the results
	size  int64 // where it is known, since there was no room for it
}

// A job is one call of Compare, Copy or Sync.
type job struct {
	Options
	from, to         *Side
	fromCaps, toCaps Capabilities
	compares, writes bool
	fills            bool // writes only what is not there
	results          []Result
}

func start(ctx context.Context, from, to *Side, keys []string, opts Options, compares, writes bool) ([]Result, error) {
	j, err := newJob(ctx, from, to, opts)
	if err != nil {
		return nil, err
	}
	j.compares, j.writes = compares, writes
	if err := j.run(ctx, j.tasks(keys)); err != nil {
		return j.results, err
	}
	return j.end()
}

func newJob(ctx context.Context, from, to *Side, opts Options) (j *job, err error) {
	j = &job{Options: opts.withDefaults(), from: from, to: to}
	if j.fromCaps, err = from.Capabilities(ctx); err != nil {
		return nil, err
	}
	if j.toCaps, err = to.Capabilities(ctx); err != nil {
		return nil, err
	}
	if j.Large <= 0 && j.fromCaps.Dump && j.toCaps.Dump {
		j.Large = defaultLarge
	}
	return j, nil
}

// tasks makes room for the results of keys, and a task of each.
func (j *job) tasks(keys []string) []task {
	j.results = make([]Result, len(keys))
	tasks := make([]task, len(keys))
	for i, key := range keys {
		j.results[i].Key = key
		tasks[i] = task{key: key, index: i}
	}
	return tasks
}

// end returns the results with the first of their errors.
func (j *job) end() ([]Result, error) {
	for i := range j.results {
		if err := j.results[i].Err; err != nil {
			return j.results, fmt.Errorf("keysync: key %q: %w", j.results[i].Key, err)
		}
	}
	return j.results, nil
}

// roundRoom bounds the payloads that a round holds in memory, on each side.
const roundRoom = 8 << 20

func (j *job) run(ctx context.Context, tasks []task) error {
	for len(tasks) > 0 {
		n := j.take(tasks)
		later, err := j.round(ctx, tasks[:n])
		if err != nil {
			return err
		}
		tasks = append(tasks[n:len(tasks):len(tasks)], later...)
	}
	return nil
}

// take says how many tasks make a round.
func (j *job) take(tasks []task) int {
	n, room := 1, roundRoom-tasks[0].size
	for n < min(j.Batch, len(tasks)) && tasks[n].size <= room {
		room -= tasks[n].size
		n++
	}
	return n
}

// A round is what became of the tasks of one pair of pipelines.
type round struct {
	typed  bool // read by type
	writes []write
	unsure []pair // payloads that differ: compare by type
	large  []task
	later  []task
}

// A pair is a task with what its two sides hold.
type pair struct {
	task
	a, b reading
}

// round reads the tasks, compares them where that is asked for, and writes
// what must be written. It returns those that found no room.
func (j *job) round(ctx context.Context, tasks []task) (later []task, err error) {
	typed := !j.fromCaps.Dump || j.compares && !j.toCaps.Dump || j.writes && !j.toCaps.Restore
	r := &round{typed: typed}
	j.look(ctx, r, tasks)
	// Writes go out before anything else is read: a key that was absent must
	// not have the time to come into being.
	if err := j.write(ctx, r); err != nil {
		return nil, err
	}
	if unsure := r.unsure; len(unsure) > 0 {
		second := &round{typed: true}
		j.lookAgain(ctx, second, unsure)
		j.preferPayloads(second, unsure)
		if err := j.write(ctx, second); err != nil {
			return nil, err
		}
		r.large, r.later = append(r.large, second.large...), append(r.later, second.later...)
	}
	for _, t := range r.large {
		if err := j.pieces(ctx, t); err != nil {
			return nil, err
		}
	}
	return r.later, nil
}

// look reads each task on the side that is copied from and, to compare, on the
// other, and sorts them out.
func (j *job) look(ctx context.Context, r *round, tasks []task) {
	a, b, took := j.readBoth(ctx, tasks, r.typed)
	for i, t := range tasks {
		p := pair{task: t, a: a[i], b: reading{expiry: absent}}
		if j.compares {
			p.b = b[i]
		}
		j.sort(r, p, took)
	}
}

// lookAgain reads by type what DUMP could not tell.
func (j *job) lookAgain(ctx context.Context, r *round, pairs []pair) {
	tasks := make([]task, len(pairs))
	for i, p := range pairs {
		tasks[i] = p.task
	}
	j.look(ctx, r, tasks)
}

// preferPayloads has the writes of the second look carry the payloads that
// the first one read, where the other side takes them: RESTORE is cheaper, and
// carries what reading by type does not see. What is older by a moment is no
// matter; the feed names a key that has changed since. A key that is gone by
// now is not brought back.
func (j *job) preferPayloads(r *round, first []pair) {
	if !j.toCaps.Restore {
		return
	}
	payloads := make(map[int]reading, len(first))
	for _, p := range first {
		if p.a.payload != "" {
			payloads[p.index] = p.a
		}
	}
	for i, w := range r.writes {
		if a, ok := payloads[w.index]; ok && w.expiry != absent {
			r.writes[i].reading = a
		}
	}
}

func (j *job) readBoth(ctx context.Context, tasks []task, typed bool) (a, b []reading, took time.Duration) {
	lim := limits{large: j.Large, most: j.LargeLen}
	began := time.Now()
	var wg sync.WaitGroup
	defer wg.Wait()
	if j.compares {
		wg.Go(func() { b = j.to.read(ctx, j.toCaps, tasks, lim, typed) })
	}
	a = j.from.read(ctx, j.fromCaps, tasks, lim, typed)
	wg.Wait()
	return a, b, time.Since(began)
}

// sort decides what is to be done about a key that was read.
func (j *job) sort(r *round, p pair, took time.Duration) {
	result := &j.results[p.index]
	result.Err = errors.Join(p.a.err, p.b.err)
	switch {
	case result.Err != nil:
	case p.a.expiry == noRoom || p.b.expiry == noRoom:
		p.size = max(p.a.size, p.b.size)
		r.later = append(r.later, p.task)
	case j.fills && (p.a.expiry == absent || p.a.expiry == noPayload): // for Sync
	case p.a.expiry == noPayload || p.b.expiry == noPayload:
		r.unsure = append(r.unsure, p)
	case p.a.expiry == isLarge || p.b.expiry == isLarge && p.a.expiry != absent:
		r.large = append(r.large, p.task)
	case !j.compares:
		r.writes = append(r.writes, j.writeOf(p))
	case !r.typed && p.a.payload != p.b.payload && p.a.expiry != absent && p.b.expiry != absent && !p.parse():
		r.unsure = append(r.unsure, p)
	default:
		result.Diff = j.differ(p, took)
		if j.writes && result.Diff != Equal {
			r.writes = append(r.writes, j.writeOf(p))
		}
	}
}

// parse reads the values out of payloads that differ, if it knows how.
func (p *pair) parse() bool {
	a, ok := parsePayload(p.a.payload)
	if !ok {
		return false
	}
	b, ok := parsePayload(p.b.payload)
	if ok {
		p.a.value, p.b.value = a, b
	}
	return ok
}

// differ compares two readings that are whole: the same payload, or values.
func (j *job) differ(p pair, took time.Duration) Diff {
	a, b := p.a, p.b
	switch {
	case a.expiry == absent && b.expiry == absent:
		return Equal
	case a.expiry == absent:
		if b.gone(took, j.Tolerance) {
			return Equal
		}
		return Extra
	case b.expiry == absent:
		if a.gone(took, j.Tolerance) {
			return Equal
		}
		return Missing
	}
	if a.value != nil && b.value != nil {
		if d := difference(a.value, b.value); d != Equal {
			return d
		}
	}
	if !j.sameExpiry(a.expiry, b.expiry) {
		return ExpiryDiffers
	}
	return Equal
}

// sameExpiry compares two expiries. Without PEXPIRETIME each is off by up to
// a millisecond.
func (j *job) sameExpiry(a, b int64) bool {
	if a < 0 || b < 0 {
		return a == b
	}
	slack := j.Tolerance.Milliseconds()
	if !j.fromCaps.ExpireTime || !j.toCaps.ExpireTime {
		slack += 2
	}
	return max(a-b, b-a) <= slack
}
