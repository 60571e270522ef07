package coordinator

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/migrate"
)

// Live is what the coordinator that runs, or ran last, tells of itself. It is
// kept beside the requests, for Status of other processes.
type Live struct {
	ID       string         `json:"id"`
	Verb     string         `json:"verb"`
	At       time.Time      `json:"at"` // by its own clock
	Sync     SyncState      `json:"sync"`
	Feed     [2]FeedState   `json:"feed"` // source, target
	Dirty    int            `json:"dirty"`
	Slots    int            `json:"dirty_slots"`
	WaitsFor string         `json:"waits_for"`
	LastMove *MoveReport    `json:"last_move,omitempty"`
	Total    tally          `json:"keys"`
	Streams  int            `json:"streams"`
	Phase    protocol.Phase `json:"phase"`

	Waiting map[string]migrate.Waiting `json:"waiting,omitempty"` // names that are to be compared, by workload
}

// SyncState tells how the sync goes.
type SyncState struct {
	Done       bool    `json:"done"` // a pass has ended since the feeds began
	Keys       int64   `json:"keys"`
	Total      int64   `json:"total"`
	Rate       float64 `json:"rate"`
	ETA        float64 `json:"eta_s"`
	VerifiedAt When    `json:"verified_at"` // when the last pass ended, or null
}

// When is a time that may not have come yet: in JSON it is null then.
type When struct{ time.Time }

// MarshalJSON writes the time, or null.
func (w When) MarshalJSON() ([]byte, error) {
	if w.IsZero() {
		return []byte("null"), nil
	}
	return w.Time.MarshalJSON()
}

// FeedState tells how a feed is.
type FeedState struct {
	Tracking bool      `json:"tracking"` // the server has a change feed
	Whole    bool      `json:"whole"`
	Since    time.Time `json:"unbroken_since,omitzero"`
	Gap      string    `json:"last_gap,omitempty"`
}

// publish writes Live on both sides each second, and once more at the end.
func (t *term) publish(ctx context.Context) {
	for {
		more := pause(ctx, beatEvery)
		t.writeLive(ctx)
		if !more {
			return
		}
	}
}

// writeLive writes Live as it is now. A write that overtakes another is set right
// by the next.
func (t *term) writeLive(ctx context.Context) {
	text, err := json.Marshal(t.live())
	if err != nil {
		return // plain values
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), beatEvery)
	defer cancel()
	var wg sync.WaitGroup
	for _, s := range protocol.Sides {
		sd := t.sides[s]
		wg.Go(func() {
			if err := sd.client.HSet(ctx, sd.store.Keys().Requests, liveField, text).Err(); err != nil {
				t.log.Debug("state not told", "side", s.String(), "err", err)
			}
		})
	}
	wg.Wait()
}

func (t *term) live() Live {
	s := t.syncer
	p := s.progress()
	l := Live{ID: t.id, Verb: t.verb, At: time.Now().UTC(), Dirty: s.dirty.Len(), Slots: s.slots(), WaitsFor: p.Text, Phase: t.known().phase()}
	l.Waiting = s.waiting(toldWaiting)
	l.Sync = SyncState{Done: s.passed(), Keys: p.Keys, Total: p.Total, Rate: p.Rate, ETA: p.ETA}
	s.mu.Lock()
	l.Total, l.Streams = s.total, len(s.streams)
	if s.passes > 0 {
		l.Sync.VerifiedAt = When{s.passedAt.UTC()}
	}
	s.mu.Unlock()
	for i, side := range protocol.Sides {
		f := s.feeds[side]
		if f == nil {
			continue
		}
		since, _, whole := f.Unbroken()
		l.Feed[i] = FeedState{Tracking: true, Whole: whole, Since: since.UTC()}
		if g := f.LastGap(); g.Err != nil {
			l.Feed[i].Gap = g.String()
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.lastMove.ID != "" {
		mv := t.lastMove
		l.LastMove = &mv
	}
	return l
}
