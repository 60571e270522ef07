package migrate

import (
	"strings"

	"github.com/transload/transload/internal/command"
	"github.com/transload/transload/internal/protocol"
)

// A unit is what authority is counted in: a workload and a slot.
type unit struct {
	workload uint8
	slot     uint16
}

// plan maps keys to units. Workload 0 is Other.
type plan struct {
	names []string
	cold  []bool
	rules []rule
}

type rule struct {
	prefix   string
	workload uint8
}

func newPlan(ws []Workload) *plan {
	p := &plan{names: []string{Other}, cold: []bool{false}}
	for i, w := range ws {
		p.names = append(p.names, w.Name)
		p.cold = append(p.cold, w.Cold)
		for _, prefix := range w.Prefixes {
			p.rules = append(p.rules, rule{prefix, uint8(i + 1)})
		}
	}
	return p
}

// unit returns the unit of a key.
func (p *plan) unit(key string) unit {
	return unit{p.workload(key), command.Slot(key)}
}

func (p *plan) workload(key string) uint8 {
	for i := range p.rules {
		if strings.HasPrefix(key, p.rules[i].prefix) {
			return p.rules[i].workload
		}
	}
	return 0
}

// Router tells which workload a key belongs to, for whoever is no member: the
// coordinator and its reports.
type Router struct{ p *plan }

// NewRouter returns the router of some workloads, which must be valid.
func NewRouter(ws []Workload) Router { return Router{newPlan(ws)} }

// Workload returns the name of a key's workload.
func (r Router) Workload(key string) string { return r.p.names[r.p.workload(key)] }

// Cold reports whether a key's workload begins cold.
func (r Router) Cold(key string) bool { return r.p.cold[r.p.workload(key)] }

// Names returns the workloads' names, Other first.
func (r Router) Names() []string { return r.p.names }

// span finds the range of a slot.
func span(rs []protocol.Range, slot uint16) *protocol.Range {
	for i := range rs {
		if int(slot) < rs[i].Hi {
			return &rs[i]
		}
	}
	return &rs[len(rs)-1]
}
