package drill

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/command"
	"github.com/transload/transload/internal/control"
)

// expiry is that of every key that a load writes: far beyond keepFor and the
// longest time that a drill watches a failover, so that no key that is looked for
// has expired.
const expiry = 10 * time.Minute

// loadKey begins the keys of a load in one slot: an app's own, which a migration copies.
func loadKey(run, tag string) string { return "drill:" + run + ":{" + tag + "}:" }

// drillKey begins those of a drill. They are no workload's, so that a migration neither
// copies them nor takes them away as strangers on a target that is in shadow, which
// would look like lost writes.
func drillKey(run, tag string) string { return control.Reserved + tag + "}:drill:" + run + ":" }

// LoadOptions say what a Load does. Zero fields mean the default.
type LoadOptions struct {
	// Writers and Readers are numbers of goroutines. The default is 12 each: four
	// for each shard of a cluster of three.
	Writers, Readers int

	// Rate is how many writes a second all writers try together, and how many
	// reads all readers. The default is 600.
	Rate int

	// Deadline bounds each call, as an app's requests are bounded. The default is
	// 5s; -1 means none.
	Deadline time.Duration

	// base makes what the keys of a slot begin with. The default is loadKey.
	base func(run, tag string) string
}

func (o LoadOptions) withDefaults() LoadOptions {
	if o.Writers == 0 {
		o.Writers = 12
	}
	if o.Readers == 0 {
		o.Readers = 12
	}
	if o.Rate == 0 {
		o.Rate = 600
	}
	if o.Deadline == 0 {
		o.Deadline = 5 * time.Second
	}
	if o.base == nil {
		o.base = loadKey
	}
	return o
}

// A Load writes and reads until it is stopped.
type Load struct {
	client           redis.UniversalClient
	o                LoadOptions
	began            time.Time
	warm             time.Time // since when every goroutine has had answers
	writers, readers []*worker
	end              context.CancelFunc
	wg               sync.WaitGroup
}

// StartLoad begins to write and read through client, until Stop. The caller
// closes the client, after Stop.
func StartLoad(ctx context.Context, client redis.UniversalClient, o LoadOptions) *Load {
	l := &Load{client: client, o: o.withDefaults(), began: time.Now()}
	ctx, l.end = context.WithCancel(ctx)
	run := rand.Text()[:8]
	l.writers = l.start(ctx, l.o.Writers, func(tag string) *worker {
		w := newWorker(l.o.base(run, tag))
		w.do = func(ctx context.Context, n int64) error {
			return client.Set(ctx, w.key(n), n, expiry).Err()
		}
		return w
	})
	l.readers = l.start(ctx, l.o.Readers, func(tag string) *worker {
		w := newWorker(l.o.base(run, tag))
		w.do = func(ctx context.Context, _ int64) error {
			// The first write of the writer in this slot. That it is not there, or
			// not there yet, is an answer as good as any.
			if err := client.Get(ctx, w.key(1)).Err(); !errors.Is(err, redis.Nil) {
				return err
			}
			return nil
		}
		return w
	})
	return l
}

// start runs n workers, paced so that together they keep the rate.
func (l *Load) start(ctx context.Context, n int, build func(tag string) *worker) []*worker {
	var list []*worker
	for i := range n {
		w := build(tagAt(i, n))
		list = append(list, w)
		every := time.Second * time.Duration(n) / time.Duration(l.o.Rate)
		l.wg.Go(func() { w.run(ctx, every, l.o.Deadline) })
	}
	return list
}

// Stop ends the load and waits for the calls that are under way. It may be called
// twice.
func (l *Load) Stop() {
	l.end()
	l.wg.Wait()
}

// Pin keeps what the journals hold from now on: something has happened.
func (l *Load) Pin() {
	for _, w := range l.all() {
		w.with(func() { w.journal.pinned = true })
	}
}

// AnsweredSince reports whether every goroutine has made a call after t that was
// answered.
func (l *Load) AnsweredSince(t time.Time) bool {
	for _, w := range l.all() {
		ok := false
		w.with(func() { ok = w.lastBegan.After(t) })
		if !ok {
			return false
		}
	}
	return true
}

func (l *Load) all() []*worker { return append(append([]*worker(nil), l.writers...), l.readers...) }

// tagAt returns a hash tag whose slot lies in the i-th of n equal parts of all.
func tagAt(i, n int) string {
	for k := 0; ; k++ { // one in n fits
		tag := fmt.Sprintf("%d-%d", i, k)
		if int(command.Slot(tag))*n/command.Slots == i {
			return tag
		}
	}
}

// trouble tells one of the errors that the app was shown, for people.
func (l *Load) trouble() (text string) {
	for _, w := range l.all() {
		w.with(func() {
			for _, sample := range w.samples {
				text = ": " + sample
			}
		})
	}
	return text
}
