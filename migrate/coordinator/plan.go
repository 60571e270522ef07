package coordinator

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/transload/transload/internal/command"
	"github.com/transload/transload/internal/control"
	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/migrate"
)

// A plan is which key belongs to which workload, as the members have it.
type plan struct {
	workloads []migrate.Workload
	digest    string
	router    migrate.Router
}

func newPlan(ws []migrate.Workload) *plan {
	return &plan{workloads: ws, digest: migrate.Plan(ws), router: migrate.NewRouter(ws)}
}

// names returns the workloads' names.
func (p *plan) names() []string { return p.router.Names() }

// skip reports whether a key is neither copied nor compared: it is the
// migration's own, or its workload begins cold.
func (p *plan) skip(key string) bool {
	return strings.HasPrefix(key, control.Reserved) || p.router.Cold(key)
}

// readPlan learns the workloads from the members on both rolls.
func (c *Coordinator) readPlan(ctx context.Context, sides [3]*side) (*plan, []protocol.Entry, error) {
	var all []protocol.Entry
	for _, s := range protocol.Sides {
		roll, err := sides[s].store.Roll(ctx)
		if err != nil {
			return nil, nil, fmt.Errorf("coordinator: %w", err)
		}
		all = append(all, roll...)
	}
	p, err := c.planOf(all)
	return p, all, err
}

// planOf returns the plan that all members have.
func (c *Coordinator) planOf(roll []protocol.Entry) (*plan, error) {
	if len(roll) == 0 {
		if !c.opts.NoMembers {
			return nil, refuse("members", "deploy the app with migrate.Open and this migration's name, or say --no-members",
				"no member of migration %q is on the roll", c.opts.Name)
		}
		return newPlan(c.opts.Workloads), nil
	}
	var p *plan
	who := ""
	for _, e := range roll {
		var about migrate.About
		if err := json.Unmarshal(e.About, &about); err != nil {
			return nil, fmt.Errorf("coordinator: what member %s tells of itself: %w", e.ID, err)
		}
		mine := newPlan(about.Workloads)
		if mine.digest != e.Plan {
			return nil, refuse("members", "run the migrate command of the version that the app was built with",
				"member %s has workloads that this program counts differently", e.ID)
		}
		if p == nil {
			p, who = mine, e.ID
		}
		if p.digest != mine.digest {
			return nil, refuse("members", "deploy the same migrate.Options.Workloads everywhere; a member that has died without a goodbye leaves the roll when it is fenced",
				"members %s and %s have different workloads", who, e.ID)
		}
	}
	return p, nil
}

// A view is which side answers for which key, by both records.
type view struct {
	*plan
	rec [3]protocol.Record
}

// authority returns the side that answers for a key, or None while that is
// being decided.
func (v *view) authority(key string) protocol.Side {
	return v.authorityOf(v.router.Workload(key), int(command.Slot(key)))
}

func (v *view) authorityOf(workload string, slot int) protocol.Side {
	src, dst := v.rec[protocol.Source], v.rec[protocol.Target]
	a, b := src.State(workload, slot), dst.State(workload, slot)
	rules := func(s protocol.State) bool { return s == protocol.Owns || s == protocol.Holds }
	switch {
	case rules(a) && rules(b):
		if src.Epoch > dst.Epoch {
			return protocol.Source
		}
		return protocol.Target
	case rules(a):
		return protocol.Source
	case rules(b):
		return protocol.Target
	}
	return protocol.None
}

// moving reports whether a key's slot lies between the cut and the goal of mv.
func (v *view) moving(key string) bool {
	w, slot := v.router.Workload(key), int(command.Slot(key))
	return v.rec[protocol.Source].Moving(w, slot) || v.rec[protocol.Target].Moving(w, slot)
}
