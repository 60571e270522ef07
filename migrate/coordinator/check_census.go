package coordinator

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/transload/transload/internal/command"
	"github.com/transload/transload/migrate"
)

// censusFor is for how long the app should have been watched before its census
// is taken for the whole of what it does.
const censusFor = time.Hour

// judgeCensus judges what the app was seen to do.
func (k *checker) judgeCensus() {
	all := k.censuses()
	if len(all) == 0 {
		if len(k.members()) > 0 {
			k.warn("census", "", "wait until the app has run through the migrating client for a while, a day at best", "nothing is known of what the app does")
		}
		return
	}
	c := sumCensus(all)
	if age := time.Since(c.Since); age < censusFor {
		k.warn("census", "", "let the app run for longer, a day at best: what it has not done yet is not known", "%d commands in %v", c.commands(), age.Round(time.Second))
	} else {
		k.ok("census", "", "%d commands in %v", c.commands(), age.Round(time.Minute))
	}
	k.judgeCrossSlot(c)
	k.judgeSteps(c)
	k.judgeScripts(c)
	k.judgeRefusedCalls(c)
	k.judgeDangerous(c)
	if len(c.Blocking) > 0 {
		k.ok("blocking commands", "", "%s: sent in slices, so that a move need not wait", some(where(c.Blocking), 6))
	} else {
		k.ok("blocking commands", "", "none")
	}
}

// judgeCrossSlot finds what a cluster would refuse.
func (k *checker) judgeCrossSlot(c census) {
	const name = "cross-slot commands"
	switch {
	case len(c.CrossSlot) == 0:
		k.ok(name, "", "none: every command's keys lie in one slot")
	case k.clusterTarget():
		k.refuse(name, "", "give keys that are used together one hash tag, as in name:{id}:part, or use one command a key",
			"a cluster refuses them: %s", some(where(c.CrossSlot), 6))
	default:
		k.ok(name, "", "%s; no side is a cluster", some(where(c.CrossSlot), 6))
	}
}

// judgeSteps finds what would fail while keys of one command lie on two sides.
func (k *checker) judgeSteps(c census) {
	if len(c.Whole) == 0 {
		k.ok("steps between 0 and 100 %", "", "no command would have keys on both sides")
		return
	}
	var only []string
	for _, w := range sortedKeys(c.Whole) {
		only = append(only, "--only "+strings.ReplaceAll(w, "+", " --only ")+" --to 100")
	}
	k.warn("steps between 0 and 100 %", "", "move these workloads in one step: "+some(only, 4),
		"these commands have keys that would lie on two sides: %s", some(where(c.Whole), 6))
}

// judgeScripts finds scripts whose keys nobody can tell.
func (k *checker) judgeScripts(c census) {
	scripts := int64(0)
	for _, n := range c.Scripts {
		scripts += n
	}
	switch {
	case c.AnyKey > 0 && k.clusterTarget():
		k.refuse("scripts", "", "declare the keys (KEYS, not ARGV): a cluster runs a script without keys on any node, where its keys are not",
			"%d calls of scripts that declare no key", c.AnyKey)
	case c.AnyKey > 0:
		k.warn("scripts", "", "declare the keys, or move everything in one step: such a script waits until one side has all keys",
			"%d calls of scripts that declare no key", c.AnyKey)
	case scripts > 0 && k.clusterTarget():
		k.warn("scripts", "", "see that they touch only keys that they declare, or that share a hash tag with these: a cluster refuses others",
			"%d calls, of %s", scripts, some(sortedKeys(c.Scripts), 6))
	case scripts > 0:
		k.ok("scripts", "", "%d calls, all with declared keys", scripts)
	default:
		k.ok("scripts", "", "none")
	}
}

// judgeRefusedCalls finds calls that the migrating client had to refuse.
func (k *checker) judgeRefusedCalls(c census) {
	if len(c.Refused) == 0 {
		k.ok("refused calls", "", "none")
		return
	}
	var each []string
	for _, name := range sortedKeys(c.Refused) {
		each = append(each, fmt.Sprintf("%s %d times", strings.ReplaceAll(name, "|", " "), c.Refused[name]))
	}
	k.warn("refused calls", "", "docs/commands.md says of each why, and what to use instead", "the migrating client could not send: %s", some(each, 8))
}

// dangerous are commands that an app had better not send while its keys move.
var dangerous = []string{"flushall", "flushdb", "keys", "swapdb", "debug", "migrate", "shutdown", "replicaof", "slaveof", "script|flush", "function|flush"}

func (k *checker) judgeDangerous(c census) {
	var seen []string
	for name, n := range c.Commands {
		if slices.Contains(dangerous, name) {
			seen = append(seen, fmt.Sprintf("%s %d times", strings.ToUpper(strings.ReplaceAll(name, "|", " ")), n))
		}
	}
	if len(seen) == 0 {
		k.ok("dangerous commands", "", "none")
		return
	}
	slices.Sort(seen)
	k.warn("dangerous commands", "", "see where the app sends them, and why: a FLUSH empties both sides, and KEYS holds a server up", "%s", some(seen, 8))
}

// A census is what all members together were seen to do.
type census struct{ migrate.Census }

func (c census) commands() (n int64) {
	for _, x := range c.Commands {
		n += x
	}
	return n
}

func sumCensus(all map[string]migrate.Census) census {
	sum := census{migrate.Census{Commands: map[string]int64{}, CrossSlot: map[string]map[string]int64{}, Whole: map[string]map[string]int64{},
		Blocking: map[string]map[string]int64{}, Scripts: map[string]int64{}, Refused: map[string]int64{}}}
	flat := func(to, from map[string]int64) {
		for name, n := range from {
			to[name] += n
		}
	}
	deep := func(to, from map[string]map[string]int64) {
		for w, cmds := range from {
			if to[w] == nil {
				to[w] = map[string]int64{}
			}
			flat(to[w], cmds)
		}
	}
	for _, c := range all {
		if sum.Since.IsZero() || c.Since.Before(sum.Since) {
			sum.Since = c.Since
		}
		flat(sum.Commands, c.Commands)
		flat(sum.Scripts, c.Scripts)
		flat(sum.Refused, c.Refused)
		deep(sum.CrossSlot, c.CrossSlot)
		deep(sum.Whole, c.Whole)
		deep(sum.Blocking, c.Blocking)
		sum.AnyKey += c.AnyKey
	}
	return sum
}

// watchers are commands of who only looks at a server, as exporters do.
var watchers = []string{"info", "config", "slowlog", "latency", "memory", "role", "monitor", "dbsize", "lastsave"}

// judgeBypass finds connections of clients that are no members: what they write
// goes past the migration.
func (k *checker) judgeBypass(f *sideFacts) {
	type group struct{ user, name, host string }
	count, last := map[group]int{}, map[group]string{}
	watching := 0
	for _, n := range f.masters() {
		if n.clientsErr != nil {
			k.unknown("other clients", f.String(), "find out who else writes here: every writer must use migrate.Open", n.clientsErr)
			return
		}
		for _, c := range n.clients {
			cmd, _, _ := strings.Cut(c["cmd"], "|")
			switch {
			case strings.HasPrefix(c["name"], "transload:"), strings.HasPrefix(c["name"], "sentinel-"), strings.ContainsAny(c["flags"], "SM"):
				continue // a member, a coordinator, a sentinel, a replica or the master
			case c["id"] == "", c["cmd"] == "NULL":
				continue // the latter has sent nothing yet: a member's too has no name before that
			case slices.Contains(watchers, cmd):
				watching++
				continue
			}
			host, _, err := net.SplitHostPort(c["addr"])
			if err != nil {
				host = c["addr"]
			}
			g := group{c["user"], c["name"], host}
			count[g]++
			if known, ok := command.Lookup([]any{cmd}); last[g] == "" || ok && known.Write([]any{cmd}) {
				last[g] = c["cmd"]
			}
		}
	}
	figure := ""
	if watching > 0 {
		figure = fmt.Sprintf("; %d that only watch", watching)
	}
	if len(count) == 0 {
		k.ok("other clients", f.String(), "every connection is a member's or a server's%s", figure)
		return
	}
	var each []string
	for g, n := range count {
		each = append(each, fmt.Sprintf("%d of %s from %s as %s (last: %s)", n, orUnnamed(g.name), g.host, g.user, strings.ReplaceAll(last[g], "|", " ")))
	}
	slices.Sort(each)
	k.warn("other clients", f.String(), "have them use migrate.Open, or stop them before cutover: what they write goes past the migration", "%s%s", some(each, 5), figure)
}

func orUnnamed(name string) string {
	if name == "" {
		return "clients without a name"
	}
	return fmt.Sprintf("%q", name)
}
