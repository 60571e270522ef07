package coordinator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

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

// toldWithin is how long a member that has just booted has to tell its workloads.
const toldWithin = 5 * time.Second

// readPlan learns the workloads from the members on both rolls.
func (c *Coordinator) readPlan(ctx context.Context, sides [3]*side) (*plan, []protocol.Entry, error) {
	for began := time.Now(); ; {
		all, err := bothRolls(ctx, sides)
		if err != nil {
			return nil, nil, err
		}
		p, err := c.planOf(all)
		if !errors.Is(err, errUntold) || time.Since(began) > toldWithin || !pause(ctx, lookEvery) {
			return p, all, err
		}
	}
}

// bothRolls returns the entries of both rolls; a member is mostly on both.
func bothRolls(ctx context.Context, sides [3]*side) (all []protocol.Entry, err error) {
	for _, s := range protocol.Sides {
		roll, err := sides[s].store.Roll(ctx)
		if err != nil {
			return nil, fmt.Errorf("coordinator: %w", err)
		}
		all = append(all, roll...)
	}
	return all, nil
}

// errDisagree means that members have different workloads.
var errDisagree = errors.New("members have different workloads")

// agreedPlan is readPlan for a process that leads: members of an earlier version
// that have died are waited out, fenced and struck. It ends as soon as every
// member is known to live.
func (t *term) agreedPlan(ctx context.Context) (*plan, []protocol.Entry, error) {
	l := t.newLookout()
	began := t.now()
	for round := 0; ; round++ {
		p, roll, err := t.c.readPlan(ctx, t.sides)
		if !errors.Is(err, errDisagree) {
			return p, roll, err
		}
		if e := l.look(ctx); e != nil {
			return nil, nil, fmt.Errorf("coordinator: %w", e)
		}
		l.strikeSilent(ctx)
		if l.allBeat() || t.now().Since(began) > 2*protocol.SilentFor {
			return nil, nil, err
		}
		if round == 0 {
			t.c.report("members", "they have different workloads; one of them may be dead, and is waited out")
		}
		if !pause(ctx, lookEvery) {
			return nil, nil, fmt.Errorf("coordinator: wait for members: %w", context.Cause(ctx))
		}
	}
}

// errUntold means that no member has told its workloads yet.
var errUntold = errors.New("coordinator: no member on the roll has told its workloads")

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
	for _, e := range roll {
		if e.Plan != roll[0].Plan {
			return nil, &Refusal{Gate: "members", Figure: fmt.Sprintf("members %s and %s have different workloads", roll[0].ID, e.ID),
				Next: "deploy the same migrate.Options.Workloads everywhere; one that has died is waited out and taken off the roll", cause: errDisagree}
		}
		about, ok := aboutOf(e)
		if !ok || p != nil {
			continue
		}
		if p = newPlan(about.Workloads); p.digest != e.Plan {
			return nil, refuse("members", "run the migrate command of the version that the app was built with",
				"member %s has workloads that this program counts differently", e.ID)
		}
	}
	if p == nil {
		return nil, errUntold
	}
	return p, nil
}

// aboutOf returns what a member tells of itself, if it has told it.
func aboutOf(e protocol.Entry) (about migrate.About, ok bool) {
	ok = len(e.About) > 0 && json.Unmarshal(e.About, &about) == nil
	return about, ok
}

// A view is which side answers for which key, by both records.
type view struct {
	*plan
	rec [3]protocol.Record
}

// alias stands for a key where people look: its name may be personal.
func (v *view) alias(key string) string {
	return v.router.Workload(key) + " #" + migrate.HashKey(key)
}

// authority returns the side that answers for a key, or None while that is
// being decided.
func (v *view) authority(key string) protocol.Side {
	return v.authorityOf(v.router.Workload(key), int(command.Slot(key)))
}

func (v *view) authorityOf(workload string, slot int) protocol.Side {
	src, dst := v.rec[protocol.Source], v.rec[protocol.Target]
	a, b := src.State(workload, slot), dst.State(workload, slot)
	if dst.Voids(src) {
		a = protocol.Given
	}
	if src.Voids(dst) {
		b = protocol.Given
	}
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
