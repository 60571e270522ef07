package cache

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// pendingLimit bounds the invalidations that wait for Redis, some 20 MB: an outage
	// of a minute at 1,500 of different keys a second.
	pendingLimit = 100_000

	// pendingEach is how often Redis is asked whether it takes them now.
	pendingEach = 250 * time.Millisecond
)

// A chore is an invalidation that Redis has not heard of, of an entry or of a tag.
type chore struct {
	tag  string // or:
	key  string
	life time.Duration // of the tombstone
	n    uint64        // tells it from an earlier one of the same
}

func (c *chore) name() string {
	if c.tag != "" {
		return tagKey(c.tag)
	}
	return c.key
}

// pending keeps the chores of this process until Redis takes them. Meanwhile what
// they concern counts as stale here, wherever it is found. What runs them ends when
// there are none left.
type pending struct {
	s       *Store
	n       atomic.Int64 // len(chores), for those who only look whether there is any
	mu      sync.Mutex
	chores  map[string]chore // by the key that is to be changed
	count   uint64
	running bool
}

func newPending(s *Store) *pending { return &pending{s: s, chores: map[string]chore{}} }

func (p *pending) len() int { return int(p.n.Load()) }

// add keeps a chore, and reports whether there was room for it.
func (p *pending) add(ctx context.Context, c chore) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, again := p.chores[c.name()]; !again && len(p.chores) >= pendingLimit {
		return false
	}
	p.count++
	c.n = p.count
	p.chores[c.name()] = c
	p.n.Store(int64(len(p.chores)))
	if !p.running {
		p.running = p.s.behind(ctx, p.run)
	}
	return true
}

// concerns reports whether a chore concerns an entry.
func (p *pending) concerns(key string, tags []string) bool {
	return p.n.Load() > 0 && len(p.of(key, tags)) > 0
}

// of returns the chores that concern an entry.
func (p *pending) of(key string, tags []string) (list []chore) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c, ok := p.chores[key]; ok {
		list = append(list, c)
	}
	for _, tag := range tags {
		if c, ok := p.chores[tagKey(tag)]; ok {
			list = append(list, c)
		}
	}
	return list
}

// settle does the chores that concern an entry, before it is filled.
func (p *pending) settle(ctx context.Context, key string, tags []string) error {
	if p.n.Load() == 0 {
		return nil
	}
	for _, c := range p.of(key, tags) {
		if err := p.do(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// do does a chore, and takes it off the list if no newer one of the same has come.
func (p *pending) do(ctx context.Context, c chore) error {
	if err := p.s.perform(ctx, c); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.chores[c.name()].n == c.n {
		delete(p.chores, c.name())
		p.n.Store(int64(len(p.chores)))
	}
	return nil
}

func (p *pending) run(ctx context.Context) {
	for !p.idle() {
		if sleep(ctx, pendingEach) != nil {
			return
		}
		for _, c := range p.list() {
			if p.do(ctx, c) != nil {
				break // the others would fare no better
			}
		}
	}
}

// idle reports whether nothing waits, and then run ends.
func (p *pending) idle() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.running = len(p.chores) > 0
	return !p.running
}

func (p *pending) list() (all []chore) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.chores {
		all = append(all, c)
	}
	return all
}
