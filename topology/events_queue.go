package topology

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	// eventsWaiting bounds what waits for a slow listener. A failover is some ten
	// events, and a listener that has not kept up with dozens of them hangs.
	eventsWaiting = 256

	// eventsWithin bounds how long Close waits for a listener.
	eventsWithin = time.Second
)

// events hands what happens to the log and to the caller's function, one event
// after the other, in the order in which they were emitted. Those who emit are
// the very goroutines that find a new primary, so they never wait for a listener:
// what it has not taken yet is queued, and what does not fit is dropped and
// counted. A goroutine runs only while something is queued.
type events struct {
	logger    *slog.Logger // nil for none
	hear      func(Event)  // nil for none
	side      string       // "" for none
	failovers *failovers

	mu      sync.Mutex
	queue   []Event
	dropped int           // since the last that was handed on
	idle    chan struct{} // closed when the goroutine ends; nil while there is none
	closed  bool
}

func newEvents(s settings) *events {
	return &events{logger: s.logger, hear: s.hear, side: s.side, failovers: newFailovers(s.side)}
}

// emit completes e and hands it on.
func (ev *events) emit(e Event) {
	if e.At.IsZero() {
		e.At = time.Now()
	}
	ev.failovers.note(e)
	if ev.logger == nil && ev.hear == nil {
		return
	}
	ev.mu.Lock()
	defer ev.mu.Unlock()
	switch {
	case ev.closed:
		return
	case len(ev.queue) == eventsWaiting:
		ev.dropped++
		return
	}
	ev.queue = append(ev.queue, e)
	if ev.idle == nil {
		ev.idle = make(chan struct{})
		go ev.handOn(ev.idle)
	}
}

// handOn empties the queue, and ends.
func (ev *events) handOn(idle chan struct{}) {
	defer close(idle)
	for {
		batch, dropped := ev.take()
		if len(batch) == 0 {
			return
		}
		for _, e := range batch {
			ev.tell(e)
		}
		if dropped > 0 && ev.logger != nil {
			ev.log(slog.LevelWarn, "redis: events dropped: their listener is too slow", slog.Int("count", dropped))
		}
	}
}

// take returns what is queued; if that is nothing, the goroutine is over.
func (ev *events) take() (batch []Event, dropped int) {
	ev.mu.Lock()
	defer ev.mu.Unlock()
	batch, dropped = ev.queue, ev.dropped
	ev.queue, ev.dropped = nil, 0
	if len(batch) == 0 {
		ev.idle = nil
	}
	return batch, dropped
}

func (ev *events) tell(e Event) {
	if ev.logger != nil {
		ev.log(e.level(), "redis: "+string(e.Kind), e.attrs()...)
	}
	if ev.hear != nil {
		ev.hear(e)
	}
}

func (ev *events) log(level slog.Level, msg string, attrs ...slog.Attr) {
	if ev.side != "" {
		attrs = append(attrs, slog.String("side", ev.side))
	}
	ev.logger.LogAttrs(context.Background(), level, msg, attrs...) //nolint:forbidigo // events belong to no call
}

// close drops what is emitted from now on, and waits until what was emitted
// before has been handed on, but no longer than a listener may take: one that
// hangs, or that has itself called Close, must not hold up the end of a program.
func (ev *events) close() {
	ev.mu.Lock()
	ev.closed = true
	idle := ev.idle
	ev.mu.Unlock()
	if idle == nil {
		return
	}
	limit := time.NewTimer(eventsWithin)
	defer limit.Stop()
	select {
	case <-idle:
	case <-limit.C:
	}
}
