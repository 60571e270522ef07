package coordinator

import (
	"context"
	"fmt"
	"time"

	"github.com/transload/transload/internal/keysync"
	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/topology"
)

// A VerifyRequest says what is to be compared.
type VerifyRequest struct {
	Sample int `json:"sample,omitempty"` // about so many keys of each side, taken at random; 0 means all
}

// A VerifyReport tells how the sides differ.
type VerifyReport struct {
	Phase     protocol.Phase              `json:"phase"`
	Compared  int64                       `json:"compared"`
	Different int64                       `json:"different"`
	Failed    int64                       `json:"failed"`                 // could not be compared
	Workloads map[string]map[string]int64 `json:"by_workload"`            // workload → kind of difference → keys
	Examples  []Difference                `json:"examples,omitempty"`     // the first of them
	Skipped   int64                       `json:"skipped_cold,omitempty"` // keys of cold workloads, which are not carried
	Began     time.Time                   `json:"began"`
	Took      float64                     `json:"took_s"`
}

// A Difference is one key whose mirror is not equal to its authority.
type Difference struct {
	Key       string        `json:"key"`
	Workload  string        `json:"workload"`
	Authority protocol.Side `json:"authority"`
	Kind      string        `json:"kind"` // missing, extra, type, value or expiry; or error
}

// Verify compares the sides, in both directions, and changes nothing. It needs no
// lock and may run beside everything else: a key that differs is looked at again,
// for up to five seconds, before it counts. Differences are ErrDiffer.
func (c *Coordinator) Verify(ctx context.Context, req VerifyRequest) (VerifyReport, error) {
	rep := VerifyReport{Workloads: map[string]map[string]int64{}, Began: time.Now().UTC()}
	if req.Sample < 0 {
		return rep, fmt.Errorf("%w: Sample: %d is negative", ErrOption, req.Sample)
	}
	recs, err := c.readings(ctx)
	if err != nil {
		return rep, err
	}
	if rep.Phase = recs.phase(); !rep.Phase.Leased() {
		return rep, refuse("phase", "begin with `migrate shadow`; after `finish` there is nothing to compare with", "the migration is %v: the sides are not kept equal", rep.Phase)
	}
	p, _, err := c.readPlan(ctx, c.sides)
	if err != nil {
		return rep, err
	}
	v := &verifier{c: c, plan: p, req: req, rep: &rep, left: map[string]Difference{}}
	v.speed.rate = c.opts.Rate
	for _, s := range protocol.Sides {
		v.keys[s] = keysync.NewSide(c.sides[s].client)
		if c.config(s).Mode == topology.Cluster {
			v.keys[s] = keysync.NewClusterSide(c.sides[s].client)
		}
	}
	err = v.run(ctx)
	rep.Took = time.Since(rep.Began).Seconds()
	if err == nil && rep.Different+rep.Failed > 0 {
		err = fmt.Errorf("%w: %d of %d keys", ErrDiffer, rep.Different+rep.Failed, rep.Compared)
	}
	return rep, err
}

// readings reads both records as they are now.
func (c *Coordinator) readings(ctx context.Context) (r readings, err error) {
	for _, s := range protocol.Sides {
		if r[s], err = c.sides[s].store.Read(ctx, false); err != nil {
			return r, fmt.Errorf("coordinator: %w", err)
		}
	}
	return r, nil
}
