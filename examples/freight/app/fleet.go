package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/transload/transload/pubsub"
)

// ErrFix means that a position is none, or too old, or older than the last one.
var ErrFix = errors.New("freight: not a position")

const (
	maxTrucks  = 10_000           // whose positions are kept in memory
	silentFor  = 10 * time.Minute // and then a truck is no more on the map
	maxSkew    = 2 * time.Minute  // between a truck's clock and ours
	publishers = 4                // positions that are published at a time
)

// A Fix is where a truck was at a moment.
type Fix struct {
	Plate string  `json:"plate"`
	Lat   float64 `json:"lat"`
	Lon   float64 `json:"lon"`
	At    int64   `json:"at"` // milliseconds since 1970, by the truck's clock
}

// A Fleet takes positions and has them published: of each truck the latest alone. While
// Redis is away they wait, one a truck, and none of their drivers waits for that.
type Fleet struct {
	hub  *pubsub.Hub
	log  *slog.Logger
	wake chan struct{} // 1: there is something to publish

	mu      sync.Mutex
	last    map[string]Fix  // as far as this process knows
	waiting map[string]bool // to be published
	busy    map[string]bool // being published: one position of a truck at a time, in their order
}

func newFleet(h *pubsub.Hub, log *slog.Logger) *Fleet {
	return &Fleet{hub: h, log: log, wake: make(chan struct{}, 1), last: map[string]Fix{}, waiting: map[string]bool{}, busy: map[string]bool{}}
}

// Take accepts a position, which is published soon. One that is older than what is
// known is ErrFix: somebody sends it a second time.
func (f *Fleet) Take(x Fix) error {
	if err := x.check(time.Now()); err != nil {
		return err
	}
	f.mu.Lock()
	known, ok := f.last[x.Plate]
	switch {
	case ok && known.At >= x.At:
		f.mu.Unlock()
		return fmt.Errorf("%w: it is not newer than the last one", ErrFix)
	case !ok && len(f.last) >= maxTrucks:
		f.mu.Unlock()
		return fmt.Errorf("%w: there are %d trucks already", ErrFix, maxTrucks)
	}
	f.last[x.Plate], f.waiting[x.Plate] = x, true
	f.mu.Unlock()
	f.nudge()
	return nil
}

func (x Fix) check(now time.Time) error {
	if x.Plate == "" || !(x.Lat >= -90 && x.Lat <= 90 && x.Lon >= -180 && x.Lon <= 180) {
		return fmt.Errorf("%w: plate, lat or lon", ErrFix)
	}
	if d := now.Sub(time.UnixMilli(x.At)); d > maxSkew || d < -maxSkew {
		return fmt.Errorf("%w: its time is %v away from ours", ErrFix, d.Abs().Round(time.Second))
	}
	return nil
}

// Last returns where a truck was last, as far as this process knows.
func (f *Fleet) Last(plate string) (Fix, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	x, ok := f.last[plate]
	return x, ok
}

// Trucks is how many are on the map, and how many positions wait to be published. It
// forgets trucks that have been silent, so that there is room for others.
func (f *Fleet) Trucks() (known, waiting int) {
	since := time.Now().Add(-silentFor).UnixMilli()
	f.mu.Lock()
	defer f.mu.Unlock()
	maps.DeleteFunc(f.last, func(plate string, x Fix) bool { return x.At < since && !f.waiting[plate] && !f.busy[plate] })
	return len(f.last), len(f.waiting)
}

// Run publishes positions and learns those that other processes publish, until ctx is
// done. What waits then is published first, as far as Redis answers at once.
func (f *Fleet) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	for range publishers {
		wg.Go(func() { f.publish(ctx) })
	}
	return f.follow(ctx)
}

func (f *Fleet) nudge() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// publish sends what waits, and tries again what Redis did not take.
func (f *Fleet) publish(ctx context.Context) {
	for ctx.Err() == nil {
		x, ok := f.next()
		if !ok {
			select {
			case <-ctx.Done():
			case <-f.wake:
			}
			continue
		}
		f.nudge() // another one may have work too
		_, err := f.hub.Publish(ctx, fleetTopic, x.Plate, x)
		f.done(x.Plate, err != nil)
		if err != nil {
			sleep(ctx, 200*time.Millisecond)
		}
	}
	f.flush(context.WithoutCancel(ctx))
}

// flush publishes what waits when the process ends.
func (f *Fleet) flush(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	for x, ok := f.next(); ok; x, ok = f.next() {
		_, err := f.hub.Publish(ctx, fleetTopic, x.Plate, x)
		f.done(x.Plate, err != nil)
		if err != nil {
			f.log.Warn("a position was not published before the end", "workload", "pubsub", "op", "publish", "err", err)
			return
		}
	}
}

// next takes a truck whose position waits.
func (f *Fleet) next() (Fix, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for plate := range f.waiting {
		if !f.busy[plate] {
			delete(f.waiting, plate)
			f.busy[plate] = true
			return f.last[plate], true
		}
	}
	return Fix{}, false
}

// done ends what next began. What Redis did not take waits again.
func (f *Fleet) done(plate string, again bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.busy, plate)
	if again {
		f.waiting[plate] = true
	}
	if f.waiting[plate] {
		f.nudge()
	}
}

// follow learns what others publish, so that pages of this process know every truck.
func (f *Fleet) follow(ctx context.Context) error {
	for ctx.Err() == nil {
		sub, err := f.hub.Subscribe(ctx, fleetTopic, "")
		if err != nil {
			sleep(ctx, time.Second)
			continue
		}
		f.learn(ctx, sub)
		_ = sub.Close() // it is over
	}
	return nil
}

func (f *Fleet) learn(ctx context.Context, sub *pubsub.Sub) {
	for {
		e, err := sub.Next(ctx)
		if err != nil {
			return
		}
		var x Fix
		if e.Kind != pubsub.Published || json.Unmarshal(e.Data, &x) != nil {
			continue
		}
		f.heard(x)
	}
}

// heard notes what was published. A position that is older than what this process was
// told has come late, from a process that held it while Redis was away: the newer one
// is published once more.
func (f *Fleet) heard(x Fix) {
	f.mu.Lock()
	defer f.mu.Unlock()
	known, ok := f.last[x.Plate]
	switch {
	case ok && known.At > x.At:
		f.waiting[x.Plate] = true
		f.nudge()
	case ok || len(f.last) < maxTrucks:
		f.last[x.Plate] = x
	}
}

// sleep waits, unless ctx ends first.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
