package migrate

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/transload/transload/internal/command"
	"github.com/transload/transload/internal/protocol"
)

const (
	// censusEvery is how often a member tells its census; at first it is oftener.
	censusEvery = 10 * time.Second

	// censusNames bounds what a census names that is not in the table of commands.
	censusNames = 64
)

// A Census is what a member's app does, as far as a migration cares. Workloads
// that a command joins are named together: "queue+sessions".
type Census struct {
	Since     time.Time                   `json:"since"`
	Commands  map[string]int64            `json:"commands,omitempty"`   // by command
	CrossSlot map[string]map[string]int64 `json:"cross_slot,omitempty"` // by workload, command: keys of more than one slot, which a cluster refuses
	Whole     map[string]map[string]int64 `json:"whole,omitempty"`      // of these, what cannot be split: such a workload moves by no step between 0 and 100
	Blocking  map[string]map[string]int64 `json:"blocking,omitempty"`   // by workload, command
	Scripts   map[string]int64            `json:"scripts,omitempty"`    // by workload: may touch keys that they do not declare
	AnyKey    int64                       `json:"any_key,omitempty"`    // scripts that declare no key: they need every workload on one side
	Watches   map[string]int64            `json:"watches,omitempty"`    // by workload
	Multi     map[string]int64            `json:"multi,omitempty"`      // transactions, by workload
	Pipelines int64                       `json:"pipelines,omitempty"`
	Refused   map[string]int64            `json:"refused,omitempty"` // by command, or name of what is unknown
}

// A census counts. What every command passes is striped; the rest is rare.
type census struct {
	plan      *plan
	began     time.Time
	commands  sync.Map // *command.Command → *tallyCounter
	pipelines atomic.Int64
	anyKey    atomic.Int64

	mu  sync.Mutex
	few map[tally]int64
}

// A tally is one counter of the rare kind.
type tally struct{ what, workload, name string }

// A tallyCounter is striped, so that members with many cores do not fight for
// one cache line.
type tallyCounter struct {
	stripes [8]struct {
		n atomic.Int64
		_ [56]byte
	}
}

func (t *tallyCounter) add() { t.stripes[rand.Uint32()&7].n.Add(1) }

func (t *tallyCounter) sum() (n int64) {
	for i := range t.stripes {
		n += t.stripes[i].n.Load()
	}
	return n
}

func newCensus(p *plan) *census {
	return &census{plan: p, began: time.Now().UTC(), few: map[tally]int64{}}
}

// count counts one command.
func (s *census) count(k *command.Command) {
	n, ok := s.commands.Load(k)
	if !ok {
		n, _ = s.commands.LoadOrStore(k, &tallyCounter{})
	}
	n.(*tallyCounter).add()
}

func (s *census) add(t tally) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.few[t]; !ok && len(s.few) > 4096 {
		return // names come from tables and workloads: this is never reached
	}
	s.few[t]++
}

// spread notes a command whose keys lie in more than one slot, or workload.
func (s *census) spread(k *command.Command, units []unit) {
	apart := func(u unit) bool { return u != units[0] }
	if !slices.ContainsFunc(units[1:], apart) {
		return
	}
	w := s.workloads(units)
	s.add(tally{"cross", w, k.Name})
	if !k.Split {
		s.add(tally{"whole", w, k.Name})
	}
}

func (s *census) script(units []unit) {
	if len(units) == 0 {
		s.anyKey.Add(1)
		return
	}
	s.add(tally{"script", s.workloads(units), ""})
}

func (s *census) block(k *command.Command, units []unit) {
	s.add(tally{"block", s.workloads(units), k.Name})
}

func (s *census) watch(units []unit) { s.group("watch", "watch", units) }

func (s *census) transaction(units []unit) { s.group("multi", "multi", units) }

// group notes several keys that must stay together.
func (s *census) group(what, name string, units []unit) {
	if len(units) == 0 {
		return
	}
	w := s.workloads(units)
	s.add(tally{what, w, ""})
	if slices.ContainsFunc(units[1:], func(u unit) bool { return u != units[0] }) {
		s.add(tally{"cross", w, name})
		s.add(tally{"whole", w, name})
	}
}

// refuse notes a command that could not go.
func (s *census) refuse(args []any, k *command.Command) {
	if len(args) == 0 {
		return
	}
	name := strings.ToLower(fmt.Sprint(args[0]))
	if k != nil {
		name = k.Name
	}
	if len(name) > 32 {
		name = name[:32]
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := tally{"refuse", "", name}
	if _, ok := s.few[t]; !ok {
		named := 0
		for other := range s.few {
			if other.what == "refuse" {
				named++
			}
		}
		if named >= censusNames {
			t.name = "(others)"
		}
	}
	s.few[t]++
}

// workloads names the workloads of units, in order.
func (s *census) workloads(units []unit) string {
	if len(units) == 1 {
		return s.plan.names[units[0].workload]
	}
	var seen [256]bool
	names := make([]string, 0, 2)
	for _, u := range units {
		if !seen[u.workload] {
			seen[u.workload] = true
			names = append(names, s.plan.names[u.workload])
		}
	}
	slices.Sort(names)
	return strings.Join(names, "+")
}

// report copies the counts out.
func (s *census) report() Census {
	r := Census{
		Since: s.began, Commands: map[string]int64{}, Pipelines: s.pipelines.Load(), AnyKey: s.anyKey.Load(),
		CrossSlot: map[string]map[string]int64{}, Whole: map[string]map[string]int64{}, Blocking: map[string]map[string]int64{},
		Scripts: map[string]int64{}, Watches: map[string]int64{}, Multi: map[string]int64{}, Refused: map[string]int64{},
	}
	s.commands.Range(func(k, n any) bool {
		r.Commands[k.(*command.Command).Name] = n.(*tallyCounter).sum()
		return true
	})
	s.mu.Lock()
	few := maps.Clone(s.few)
	s.mu.Unlock()
	deep := map[string]map[string]map[string]int64{"cross": r.CrossSlot, "whole": r.Whole, "block": r.Blocking}
	flat := map[string]map[string]int64{"script": r.Scripts, "watch": r.Watches, "multi": r.Multi}
	for t, n := range few {
		switch {
		case t.what == "refuse":
			r.Refused[t.name] = n
		case flat[t.what] != nil:
			flat[t.what][t.workload] = n
		default:
			m := deep[t.what]
			if m[t.workload] == nil {
				m[t.workload] = map[string]int64{}
			}
			m[t.workload][t.name] = n
		}
	}
	return r
}

// Census returns what the app has done through this client. With no target
// nothing is counted.
func (c *Client) Census() Census {
	if c.census == nil {
		return Census{}
	}
	return c.census.report()
}

// tellCensus writes the census to both sides every now and then.
func (c *Client) tellCensus(ctx context.Context) {
	for wait := time.Second; pause(ctx, wait); wait = min(2*wait, censusEvery) {
		c.tellCensusOnce(ctx)
	}
}

// tellCensusOnce tells the sides that are in use now. The target is left alone
// while nothing of it is used, and the source once it is not.
func (c *Client) tellCensusOnce(ctx context.Context) {
	line, err := json.Marshal(c.census.report())
	if err != nil {
		return
	}
	v := c.m.view.Load()
	for _, s := range protocol.Sides {
		if v.leased || v.only == s {
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			_ = c.m.sides[s].store.TellCensus(ctx, c.m.id, line) // the next one says as much
			cancel()
		}
	}
}
