package cache

import (
	"sync"
	"time"
)

const (
	// failedFor is how long an id's loader is not asked again after it has failed, so
	// that a database in trouble is not asked for each reader.
	failedFor = time.Second

	// restFor is the same for a refresh, whatever it came to.
	restFor = time.Second

	// recentRoom bounds what is remembered of either.
	recentRoom = 10_000
)

// failures remembers loads that have just failed.
type failures struct {
	mu  sync.Mutex
	all map[string]failure
}

type failure struct {
	err   error
	until time.Time
}

func (f *failures) note(key string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.all == nil || len(f.all) >= recentRoom {
		f.all = map[string]failure{}
	}
	f.all[key] = failure{err, time.Now().Add(failedFor)}
}

// recent returns the error of a load that has just failed.
func (f *failures) recent(key string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if x, ok := f.all[key]; ok && time.Now().Before(x.until) {
		return x.err
	}
	delete(f.all, key)
	return nil
}

func (f *failures) clear(key string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.all, key)
}

// rests remembers which entries a refresh was begun for just now.
type rests struct {
	mu  sync.Mutex
	all map[string]time.Time
}

// take reports whether a refresh may begin, and then none may for a while.
func (r *rests) take(key string) bool {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if now.Before(r.all[key]) {
		return false
	}
	if r.all == nil || len(r.all) >= recentRoom {
		r.all = map[string]time.Time{}
	}
	r.all[key] = now.Add(restFor)
	return true
}
