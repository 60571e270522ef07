package coordinator

import (
	"time"

	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/migrate"
)

// A Status is the state of a migration, as far as it can be told from outside.
type Status struct {
	Name        string         `json:"name"`
	Phase       protocol.Phase `json:"phase"`
	Epoch       uint64         `json:"epoch"`
	Percent     map[string]int `json:"percent"` // of each workload, on the target
	Moving      *MovingStatus  `json:"moving"`  // a move that is under way, or null
	Sides       SidesStatus    `json:"sides"`
	Members     []MemberStatus `json:"members"`
	Coordinator *LeaderStatus  `json:"coordinator,omitempty"` // who holds the lock
	Sync        SyncState      `json:"sync"`
	Feed        FeedsStatus    `json:"feed"`
	Dirty       int            `json:"dirty"` // names and slots that the coordinator has still to compare
	Mirror      MirrorStatus   `json:"mirror"`
	ShadowReads ReadsStatus    `json:"shadow_reads"`
	Latency     LatencyStatus  `json:"latency"`
	LastMove    *MoveReport    `json:"last_move"`      // or null
	Cold        []string       `json:"cold,omitempty"` // workloads that are not carried
	Blockers    []string       `json:"blockers"`       // what keeps the migration from going on
	WaitsFor    string         `json:"waits_for"`      // in one line
	NextSteps   []string       `json:"next_steps"`
}

// MovingStatus tells of a move that is under way.
type MovingStatus struct {
	ID      string         `json:"id"`
	From    protocol.Side  `json:"from"`
	Stage   protocol.Stage `json:"stage"`
	Percent map[string]int `json:"percent"` // that the workloads shall have
}

// SidesStatus is a SideStatus for each side.
type SidesStatus struct {
	Source SideStatus `json:"source"`
	Target SideStatus `json:"target"`
}

// SideStatus tells how one side is.
type SideStatus struct {
	Mode     string  `json:"mode"`
	Healthy  bool    `json:"healthy"`
	Error    string  `json:"error,omitempty"`
	Version  string  `json:"version"`
	Used     int64   `json:"used_memory"`
	Masters  int     `json:"masters"`
	Replicas int     `json:"replicas"`
	LagMS    float64 `json:"lag_ms"`
	TripMS   float64 `json:"round_trip_ms"`
}

// MemberStatus tells of one process of the app.
type MemberStatus struct {
	ID      string   `json:"id"`
	Version string   `json:"version"`
	Epoch   uint64   `json:"epoch"` // of the newer record that it obeys
	Ready   bool     `json:"ready"` // holds a lease on both sides
	LeaseMS [2]int64 `json:"lease_ms"`
	Dirty   int      `json:"dirty"` // keys that wait to be copied
	LagMS   float64  `json:"lag_ms"`
	Note    string   `json:"note,omitempty"`
}

// LeaderStatus tells who holds the lock.
type LeaderStatus struct {
	ID    string    `json:"id"`
	About string    `json:"about"`
	Told  time.Time `json:"told_at,omitzero"` // when it last told of itself, by its own clock
}

// FeedsStatus tells since when the feeds of both sides have named every change.
type FeedsStatus struct {
	UnbrokenSince When      `json:"unbroken_since"` // of the younger; null if one is broken, or no coordinator runs
	Source        FeedState `json:"source"`
	Target        FeedState `json:"target"`
}

// MirrorStatus sums up the copies of all members.
type MirrorStatus struct {
	Written int64   `json:"written"`
	Failed  int64   `json:"failed"`
	Dropped int64   `json:"dropped"`
	LagMS   float64 `json:"lag_ms"`
}

// ReadsStatus sums up the shadow reads of all members.
type ReadsStatus struct {
	Compared  int64 `json:"compared"`
	Different int64 `json:"different"`
}

// LatencyStatus is what the slowest member saw of each side in the last minute.
type LatencyStatus struct {
	Source migrate.Latency `json:"source"`
	Target migrate.Latency `json:"target"`
}
