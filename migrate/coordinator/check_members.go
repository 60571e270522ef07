package coordinator

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/migrate"
	"github.com/transload/transload/topology"
)

// A memberLine is what both rolls and the second look tell of one member.
type memberLine struct {
	on    [3]bool
	entry [3]protocol.Entry
	about *migrate.About
	told  uint64 // the beat of about
	alive bool
}

// members joins the rolls.
func (k *checker) members() map[string]*memberLine {
	out := map[string]*memberLine{}
	for _, s := range protocol.Sides {
		for _, e := range k.sides[s].roll {
			m := out[e.ID]
			if m == nil {
				m = &memberLine{}
				out[e.ID] = m
			}
			m.on[s], m.entry[s] = true, e
			if about, ok := aboutOf(e); ok && (m.about == nil || e.Beat > m.told) {
				m.about, m.told = &about, e.Beat // the line on a side that it does not reach is old
			}
		}
		for _, e := range k.again[s] {
			if m := out[e.ID]; m != nil && m.entry[s].Beat != e.Beat {
				m.alive = true
			}
		}
	}
	return out
}

// judgeMembers judges the processes of the app.
func (k *checker) judgeMembers() {
	for _, s := range protocol.Sides {
		if err := k.sides[s].rollErr; err != nil {
			k.refuse("members", s.String(), "let this user read "+k.c.sides[s].store.Keys().Roll, "the roll cannot be read: %v", err)
			return
		}
	}
	members := k.members()
	if len(members) == 0 {
		k.judgeNoMembers()
		return
	}
	versions := map[string]bool{}
	var silent, half []string
	for _, id := range sortedKeys(members) {
		m := members[id]
		if m.about != nil {
			versions[m.about.Version] = true
		}
		if !m.alive {
			silent = append(silent, id)
		}
		if k.both() && !(m.on[protocol.Source] && m.on[protocol.Target]) {
			half = append(half, id)
		}
	}
	names := sortedKeys(members)
	if refusal, ok := errors.AsType[*Refusal](k.noPlan); ok {
		k.refuse("members", "", refusal.Next, "%s", refusal.Figure)
	} else if len(silent) > 0 {
		k.warn("members", "", "see whether they run; one that has died is fenced, and taken off the roll, once `migrate shadow` runs", "%d on the roll; nothing is heard of %s", len(names), some(silent, 4))
	} else {
		k.ok("members", "", "%d, all of the same workloads: %s", len(names), some(names, 6))
	}
	if len(versions) > 1 {
		k.warn("versions of the app", "", "end the deployment first, so that one version runs", "the members run %s", some(sortedKeys(versions), 6))
	} else {
		k.ok("versions of the app", "", "one: %q", some(sortedKeys(versions), 1))
	}
	k.judgeReachOfMembers(members, half)
}

func (k *checker) judgeNoMembers() {
	const figure = "no member of migration %q is on the roll"
	if k.c.opts.NoMembers {
		k.warn("members", "", "--no-members was said: nobody will obey", figure, k.c.opts.Name)
		return
	}
	k.refuse("members", "", "deploy the app with migrate.Open and this migration's name, or say --no-members", figure, k.c.opts.Name)
}

// judgeReachOfMembers reads from the roll whether each member reaches both sides:
// from where it runs, with its own settings.
func (k *checker) judgeReachOfMembers(members map[string]*memberLine, half []string) {
	for i, s := range protocol.Sides {
		var bad, untold []string
		most := 0.0
		for _, id := range sortedKeys(members) {
			m := members[id]
			switch {
			case !m.alive && len(k.again[protocol.Source])+len(k.again[protocol.Target]) > 0:
			case m.about == nil || m.about.Reach[i] == (migrate.Reach{}):
				untold = append(untold, id)
			case !m.about.Reach[i].OK:
				bad = append(bad, id+paren(m.about.Reach[i].Error))
			default:
				most = max(most, m.about.Reach[i].MS)
			}
		}
		switch {
		case len(bad) > 0:
			k.refuse("reach from members", s.String(), "see the settings of these processes, and firewalls between them and the "+s.String(), "%d of %d do not reach it: %s", len(bad), len(members), some(bad, 3))
		case len(half) > 0 && slices.ContainsFunc(half, func(id string) bool { return !members[id].on[s] }):
			k.refuse("reach from members", s.String(), "see that these processes have the settings of both sides: they may have been given none, or those of another Redis", "not on its roll: %s", some(half, 4))
		case len(untold) > 0:
			k.warn("reach from members", s.String(), "check again in a few seconds", "unknown: %s have not told yet", some(untold, 4))
		default:
			k.ok("reach from members", s.String(), "all reach it, in %.1f ms at most", most)
		}
	}
}

// censuses returns what the members told of their apps, the fuller line of the
// two sides.
func (k *checker) censuses() map[string]migrate.Census {
	out := map[string]migrate.Census{}
	sum := func(c migrate.Census) (n int64) {
		for _, x := range c.Commands {
			n += x
		}
		return n
	}
	for _, s := range protocol.Sides {
		for id, text := range k.sides[s].census {
			var c migrate.Census
			if json.Unmarshal([]byte(text), &c) == nil && (out[id].Since.IsZero() || sum(c) > sum(out[id])) {
				out[id] = c
			}
		}
	}
	return out
}

// clusterTarget reports whether the keys move to a cluster.
func (k *checker) clusterTarget() bool {
	return k.sides[protocol.Target].client.Mode() == topology.Cluster
}

// where names workloads with their commands, and how often each was sent.
func where(by map[string]map[string]int64) (out []string) {
	for _, w := range sortedKeys(by) {
		var cmds []string
		for _, name := range sortedKeys(by[w]) {
			cmds = append(cmds, fmt.Sprintf("%s %d times", strings.ReplaceAll(name, "|", " "), by[w][name]))
		}
		out = append(out, w+": "+some(cmds, 4))
	}
	return out
}
