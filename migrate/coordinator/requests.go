package coordinator

import (
	"time"

	"github.com/transload/transload/internal/protocol"
)

// A Care says how careful a move is, and what it accepts. Zero fields mean the
// coordinator's own options, so that a verb which is handed to another process
// takes along what was told here.
type Care struct {
	Hold         time.Duration `json:"hold,omitempty"`
	MaxHold      time.Duration `json:"max_hold,omitempty"`
	Limits       Limits        `json:"limits"`
	AcceptBypass bool          `json:"accept_bypass,omitempty"` // writers that do not use the client are known and harmless
	Fence        string        `json:"fence,omitempty"`         // FenceACL: a cutover shuts them out of the source by their users
}

func (c Care) fill(o Options) Care {
	if c.Hold == 0 {
		c.Hold = o.Hold
	}
	if c.MaxHold == 0 {
		c.MaxHold = max(o.MaxHold, c.Hold)
	}
	if c.Limits == (Limits{}) {
		c.Limits = o.Limits
	}
	c.Limits = c.Limits.withDefaults()
	return c
}

// A CutoverRequest says what is to be moved to the target.
type CutoverRequest struct {
	To    []int         `json:"to"`              // percent of each workload, in ascending steps
	Only  []string      `json:"only,omitempty"`  // workloads; none means all
	Every time.Duration `json:"every,omitempty"` // pause between two steps
	Care
	Seen protocol.Phase `json:"seen"` // in which it was asked for; filled in by Cutover
}

// A RollbackRequest says how to go back.
type RollbackRequest struct {
	Care
	Seen protocol.Phase `json:"seen"` // in which it was asked for; filled in by Rollback
}

// A FinishRequest says how to end a migration.
type FinishRequest struct {
	MinSoak time.Duration `json:"min_soak"`        // for how long the target must have answered all; 0 means 24h, less than 0 no time
	Purge   bool          `json:"purge,omitempty"` // remove what the migration kept for itself, but for the records
	Care
}

// A FinishResult tells what Finish did.
type FinishResult struct {
	Phase  string `json:"phase"`
	Gates  []Gate `json:"gates"`
	Purged int64  `json:"purged"` // keys
}
