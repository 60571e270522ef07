package coordinator

import (
	"context"
	"crypto/rand"
	"strings"
	"time"

	"github.com/transload/transload/internal/protocol"
)

// fewNames is how many names may be left when a hold begins: they are
// compared in some five milliseconds.
const fewNames = 256

// A MoveReport tells how a move went.
type MoveReport struct {
	ID          string         `json:"id"`
	From        protocol.Side  `json:"from"`
	Percent     map[string]int `json:"percent"` // of each moving workload, on the target, afterwards
	Committed   bool           `json:"committed"`
	Reason      string         `json:"reason,omitempty"` // why it was aborted, or what was not as it should be
	PrepareMS   float64        `json:"prepare_ms"`
	HoldMS      float64        `json:"hold_ms"`         // from before the hold was written until the grant was
	LongestWait float64        `json:"longest_wait_ms"` // of an operation at a member, as members tell it
	Compared    int64          `json:"keys_compared"`   // in the hold
	Repaired    int64          `json:"keys_repaired"`   // in the hold
	Rounds      int            `json:"rounds"`          // of the proof
}

// move carries authority over the goal's slots from one side to the other. A
// move that was aborted is ErrAborted; the report says what is known in any case.
func (s *syncer) move(ctx context.Context, from protocol.Side, goal map[string]int, hold time.Duration) (MoveReport, error) {
	t := s.t
	recs, err := t.readBoth(ctx)
	if err != nil {
		return MoveReport{}, err
	}
	cfg := t.moveConfig(strings.ToLower(rand.Text()[:12]), from, goal, hold)
	m := protocol.NewMover(cfg, recs[protocol.Source].Record, recs[protocol.Target].Record,
		recs[protocol.Source].RunID, recs[protocol.Target].RunID)
	d := s.newDriver(m, cfg, recs)
	d.taker = t.see(ctx, from.Other())
	if err := t.markers.learn(ctx, t.sides[from.Other()].client); err != nil {
		return d.report, err
	}
	s.hurry.Store(true)
	defer s.hurry.Store(false)
	t.moving.Store(true)
	defer t.moving.Store(false)
	if s.full() {
		s.dirty.MarkAll()
	}
	select { // slots that an earlier gap made dirty have been walked since
	case <-s.gaps:
	default:
	}
	outs := m.Start(t.now())
	if len(outs) == 1 && outs[0].Kind == protocol.DoWrite {
		m.Handle(d.dirty(), t.now()) // nothing may be held on a guess; before the first record is written this asks for nothing
	}
	return d.run(ctx, outs)
}

func (t *term) moveConfig(id string, from protocol.Side, goal map[string]int, hold time.Duration) protocol.MoveConfig {
	return protocol.MoveConfig{
		ID: id, Writer: t.id, From: from, Goal: goal, Hold: hold, PrepareFor: t.c.opts.PrepareFor, FewNames: fewNames,
		CanFence: t.sides[protocol.Source].caps.Fence() && t.sides[protocol.Target].caps.Fence(), Nonce: rand.Text,
	}
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
