package topology

import (
	"log/slog"
	"time"
)

// An EventKind says what happened.
type EventKind string

// The kinds of events.
const (
	// Connected: the first connection to a data server was made.
	Connected EventKind = "connected"
	// Reconnecting: no connection to the primary is left, and one is looked for.
	Reconnecting EventKind = "reconnecting"
	// Ready: the primary answers, for the first time or again. Duration is how
	// long it was away.
	Ready EventKind = "ready"
	// Failed: a connection broke or could not be made. Err tells why.
	Failed EventKind = "error"
	// ReplicaDown and ReplicaUp: a replica takes no reads any more, or again.
	ReplicaDown EventKind = "replica_down"
	ReplicaUp   EventKind = "replica_up"
	// FailoverStarted: the primary is held to be down, or is being replaced.
	FailoverStarted EventKind = "failover_started"
	// PrimarySwitched: Addr has taken over from Old, Duration after
	// FailoverStarted.
	PrimarySwitched EventKind = "primary_switched"
	// FailoverEnded: the new primary has answered, Duration after
	// FailoverStarted.
	FailoverEnded EventKind = "failover_ended"
	// NodeFailed: a node of a cluster does not answer. Err tells why.
	NodeFailed EventKind = "cluster_node_error"
)

// An Event is something that happened to a Redis and that people may want to
// know.
type Event struct {
	Kind     EventKind
	At       time.Time
	Addr     string        // the node that it is about, if it is about one
	Old      string        // of PrimarySwitched
	Duration time.Duration // of Ready, PrimarySwitched and FailoverEnded
	Err      error         // of Failed and NodeFailed; holds no secrets
}

// level is that of an event's line in the log: Warn is what people should look at.
func (e Event) level() slog.Level {
	switch e.Kind {
	case Connected, Ready, ReplicaUp, FailoverEnded:
		return slog.LevelInfo
	}
	return slog.LevelWarn
}

// attrs are those of an event's line in the log.
func (e Event) attrs() []slog.Attr {
	attrs := append(make([]slog.Attr, 0, 5), slog.String("op", string(e.Kind)))
	if e.Addr != "" {
		attrs = append(attrs, slog.String("addr", e.Addr))
	}
	if e.Old != "" {
		attrs = append(attrs, slog.String("old", e.Old))
	}
	if e.Duration > 0 {
		attrs = append(attrs, slog.Duration("duration", e.Duration))
	}
	if e.Err != nil {
		attrs = append(attrs, slog.Any("err", e.Err))
	}
	return attrs
}
