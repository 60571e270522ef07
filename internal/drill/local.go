package drill

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/transload/transload/internal/redisproc"
	"github.com/transload/transload/topology"
)

// A Local is a set of servers of the drill's own.
type Local struct{ *redisproc.Set }

// LocalDownAfter is the down-after-milliseconds of a local set, as the plan has
// it.
const LocalDownAfter = 3 * time.Second

// clusterArgs keep a cluster working while one of its shards has no primary. Left
// to its defaults, every node of it refuses everything, reads of replicas too,
// from when the majority holds the primary for dead to the promotion.
var clusterArgs = []string{"--cluster-require-full-coverage", "no", "--cluster-allow-reads-when-down", "yes"}

// StartLocal starts servers in a mode, sentinel or cluster, as the plan sets them
// up. The caller closes them.
func StartLocal(ctx context.Context, mode topology.Mode) (*Local, error) {
	start, o := redisproc.Sentinel, redisproc.Options{DownAfter: LocalDownAfter}
	if mode == topology.Cluster {
		start, o.Args = redisproc.Cluster, clusterArgs
	}
	set, err := start(ctx, o)
	if err != nil {
		return nil, err
	}
	return &Local{set}, nil
}

// KillPrimary is a Cause: kill -9 of the primary, in a cluster of one of them.
func (l *Local) KillPrimary(ctx context.Context, _ *Watch) (Moment, error) {
	return l.primary(ctx, "kill -9 of the primary ", (*redisproc.Server).Kill)
}

// FreezePrimary is a Cause: kill -STOP of the primary. Its connections stay open,
// and nothing answers.
func (l *Local) FreezePrimary(ctx context.Context, _ *Watch) (Moment, error) {
	return l.primary(ctx, "kill -STOP of the primary ", (*redisproc.Server).Freeze)
}

func (l *Local) primary(ctx context.Context, what string, do func(*redisproc.Server) error) (Moment, error) {
	list := l.Primaries(ctx)
	if len(list) == 0 {
		return Moment{}, errors.New("drill: none of the servers says that it is a primary")
	}
	at := time.Now()
	if err := do(list[0]); err != nil {
		return Moment{}, fmt.Errorf("drill: %w", err)
	}
	return Moment{Fault, at, list[0].Addr(), what + list[0].Addr()}, nil
}

// Planned makes a Cause of a planned failover; h is filled in by it.
func Planned(client *topology.Client, h *Handover) Cause {
	return func(ctx context.Context, _ *Watch) (Moment, error) {
		err := h.Run(ctx, client)
		what := "planned failover"
		if h.Plain {
			what = "SENTINEL FAILOVER alone"
		}
		return Moment{Fault, h.Began, h.Old, fmt.Sprintf("%s from %s to %s", what, h.Old, h.New)}, err
	}
}
