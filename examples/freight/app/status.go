package app

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/transload/transload/examples/freight/link"
	"github.com/transload/transload/queue"
	"github.com/transload/transload/topology"
)

// A Status is how the app is, for its engineers. It holds names of users, and no
// secrets.
type Status struct {
	At        time.Time    `json:"at"`
	Began     time.Time    `json:"began"`
	Database  string       `json:"database"` // "ok", or what is wrong
	Phase     string       `json:"phase"`    // of the migration
	Migrating bool         `json:"migrating"`
	Sides     []Side       `json:"sides"`
	Workloads []Workload   `json:"workloads"`
	Queues    []queue.Info `json:"queues"`
	Connected []Guest      `json:"connected"`
	Sockets   int          `json:"sockets"`
	Trucks    int          `json:"trucks"`
	Waiting   int          `json:"waiting"` // positions that were not published yet
	Events    []Event      `json:"events"`  // the newest first
}

// A Side is one Redis.
type Side struct {
	Name   string          `json:"name"`
	Health topology.Health `json:"health"`
}

// A Workload is one of the five.
type Workload struct {
	Name     string `json:"name"`
	Percent  int    `json:"percent"` // that the target answers for
	Side     string `json:"side"`    // source, target or both
	Degraded bool   `json:"degraded"`
	Why      string `json:"why,omitempty"`  // it is
	Goes     string `json:"goes,omitempty"` // how it goes on all the same
}

// An Event is a change that the status has seen.
type Event struct {
	At   time.Time `json:"at"`
	Text string    `json:"text"`
}

// goes tells how each workload goes on while its Redis is away.
var goes = []struct{ name, on string }{
	{"ratelimit", "each process grants its share of every limit"},
	{"sessions", "users stay signed in, by memory, the database or the signed cookie"},
	{"queue", "jobs wait in the database's outbox; what is finished is not run again"},
	{"pubsub", "sockets stay open and tell how old their positions are; new ones wait, the last of each truck"},
	{"cache", "answers come from memory, then from the database within a limit"},
}

const (
	lookEvery  = 500 * time.Millisecond
	lookWithin = time.Second
	keepEvents = 30
)

// Status returns what was seen last, no longer ago than a second and a half.
func (a *App) Status() Status {
	if s := a.status.Load(); s != nil {
		return *s
	}
	return Status{At: time.Now(), Began: a.began, Phase: "unknown"}
}

// watch looks how the app is, until ctx is done.
func (a *App) watch(ctx context.Context) error {
	t := time.NewTicker(lookEvery)
	defer t.Stop()
	for {
		next := a.look(ctx)
		if ctx.Err() != nil {
			return nil
		}
		next.Events = changes(a.Status(), next)
		a.status.Store(&next)
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
	}
}

func (a *App) look(ctx context.Context) Status {
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	s := Status{Began: a.began, Phase: a.Link.Phase(), Migrating: a.Link.Migrating(), Database: "ok", Sides: make([]Side, len(a.Link.Sides))}
	var wg sync.WaitGroup
	for i, c := range a.Link.Sides {
		wg.Go(func() { h := c.Health(ctx); s.Sides[i] = Side{h.Side, h} })
	}
	wg.Go(func() {
		if err := a.Store.Ping(ctx); err != nil {
			s.Database = err.Error()
		}
	})
	wg.Wait()
	for _, w := range goes {
		s.Workloads = append(s.Workloads, judge(a.Link, s.Sides, w.name, w.on))
	}
	a.deaf(&s)
	if !s.Workloads[2].Degraded {
		s.Queues, _ = a.Queue.Queues(ctx) // what cannot be had is not shown
	}
	s.Connected, s.Sockets = a.guests.now(), a.Hub.Health().Sockets
	s.Trucks, s.Waiting = a.Fleet.Trucks()
	s.At = time.Now()
	return s
}

// judge says how a workload is by the sides that answer for it and its breakers there.
func judge(l *link.Link, sides []Side, name, on string) Workload {
	w := Workload{Name: name, Percent: l.Percent(name), Side: "both"}
	switch w.Percent {
	case 0:
		w.Side = "source"
	case 100:
		w.Side = "target"
	}
	for _, s := range sides {
		if w.Side != "both" && s.Name != w.Side {
			continue
		}
		if s.Health.Status == topology.Unhealthy {
			w.Degraded, w.Why = true, fmt.Sprintf("%s: %s", s.Name, first(s.Health.Reasons))
		}
		for _, b := range l.Breakers() {
			if b.Side == s.Name && b.Workload == name && b.State != "closed" && !w.Degraded {
				w.Degraded, w.Why = true, fmt.Sprintf("%s: ten commands in a row had no answer: the breaker is %s", s.Name, b.State)
			}
		}
	}
	if w.Degraded {
		w.Goes = on
	}
	return w
}

// deaf adds what the hub knows better than the servers: whether it hears.
func (a *App) deaf(s *Status) {
	h, w := a.Hub.Health(), &s.Workloads[3]
	if h.Degraded && !w.Degraded {
		w.Degraded, w.Why, w.Goes = true, fmt.Sprintf("nothing was heard for %v", h.Age.Round(100*time.Millisecond)), goes[3].on
	}
}

func first(reasons []string) string {
	if len(reasons) == 0 {
		return "it does not answer"
	}
	return reasons[0]
}

// changes is the events of before and what has changed since.
func changes(was, is Status) []Event {
	events := was.Events
	add := func(format string, args ...any) {
		events = append([]Event{{is.At, fmt.Sprintf(format, args...)}}, events[:min(len(events), keepEvents-1)]...)
	}
	if was.Phase != is.Phase {
		add("phase %s", is.Phase)
	}
	for i, w := range is.Workloads {
		var old Workload
		if i < len(was.Workloads) {
			old = was.Workloads[i]
		}
		switch {
		case w.Degraded && !old.Degraded:
			add("%s degraded: %s", w.Name, w.Why)
		case old.Degraded && !w.Degraded:
			add("%s is well again", w.Name)
		}
		if w.Percent != old.Percent {
			add("%s: the target answers for %d %%", w.Name, w.Percent)
		}
	}
	return events
}
