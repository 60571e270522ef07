package coordinator

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/command"
	"github.com/transload/transload/internal/control"
	"github.com/transload/transload/internal/protocol"
)

// membersGate wants every member to obey both records, with a lease on both
// sides and the workloads of the migration.
func (b *bench) membersGate() {
	if len(b.roll) == 0 {
		b.judge("members", b.c.opts.NoMembers, Refused, "at least one",
			"deploy the app with migrate.Open and this migration's name, or say --no-members", "none is on the roll")
		return
	}
	var wrong []string
	for _, id := range sortedKeys(b.roll) {
		if why := b.wrong(id); why != "" {
			wrong = append(wrong, id+" "+why)
		}
	}
	if len(wrong) == 0 {
		b.add("members", OK, "", "", "%d, all obey both records and hold both leases", len(b.roll))
		return
	}
	b.add("members", Refused, "every one obeys, and holds both leases",
		"see that these processes run and reach both sides; one that has died is fenced by itself when `shadow` runs or a move begins", "%s", some(wrong, 4))
}

func (b *bench) wrong(id string) string {
	for _, s := range protocol.Sides {
		rec, e := b.recs[s].Record, b.roll[id][s]
		switch {
		case e.ID == "":
			return fmt.Sprintf("is not on the roll of the %v", s)
		case e.Plan != rec.Plan:
			return "has other workloads than the migration"
		case e.Epoch < rec.Epoch:
			return fmt.Sprintf("does not obey the record of the %v yet", s)
		case !e.Ready:
			return "has no lease on both sides" + paren(e.Note)
		}
	}
	return ""
}

func paren(s string) string {
	if s == "" {
		return ""
	}
	return " (" + s + ")"
}

// splitGate finds what the app does that a step between 0 and 100 percent would
// break: commands whose keys would lie on two sides, and that cannot be split.
func (b *bench) splitGate() {
	var hit []string
	anyKey := int64(0)
	for _, id := range sortedKeys(b.census) {
		c := b.census[id]
		anyKey += c.AnyKey
		for w, cmds := range c.Whole {
			if b.splits(w) {
				hit = append(hit, fmt.Sprintf("%s (%s)", w, some(sortedKeys(cmds), 3)))
			}
		}
	}
	slices.Sort(hit)
	hit = slices.Compact(hit)
	keyless := anyKey > 0 && b.partial()
	const all = "move everything in one step: --to 100"
	next, figure := all, "none that this step would split" // with --only, a script without keys would find the sides sharing them
	if len(hit) > 0 {
		figure = "the app uses commands whose keys would lie on two sides: " + some(hit, 4)
	}
	if len(hit) > 0 && anyKey == 0 {
		w, _, _ := strings.Cut(hit[0], " ")
		next = fmt.Sprintf("move these at once: --only %s --to 100", strings.ReplaceAll(w, "+", " --only "))
	}
	b.judge("commands with several keys", len(hit) == 0, Refused, "none in a workload that is moved in part", next, "%s", figure)
	b.judge("scripts without keys", !keyless, Refused, "none while the sides share the keys", all,
		"the app has run %d scripts that declare no key", anyKey)
}

// splits reports whether the move leaves keys of some workloads, joined by +, on
// two sides.
func (b *bench) splits(workloads string) bool {
	sides := map[int]bool{}
	for w := range strings.SplitSeq(workloads, "+") {
		cut := b.cutAfter(w)
		if cut != 0 && cut != protocol.Slots {
			return true
		}
		sides[cut] = true
	}
	return len(sides) > 1
}

func (b *bench) cutAfter(workload string) int {
	if cut, ok := b.goal[workload]; ok {
		return cut
	}
	return b.recs[protocol.Source].Record.Cuts[workload]
}

// partial reports whether both sides serve keys after the move.
func (b *bench) partial() bool {
	sides := map[int]bool{}
	for w := range b.recs[protocol.Source].Record.Cuts {
		cut := b.cutAfter(w)
		if cut != 0 && cut != protocol.Slots {
			return true
		}
		sides[cut] = true
	}
	return len(sides) > 1
}

// A bypass is a connection that writes and is nobody's of this migration.
type bypass struct {
	Side protocol.Side
	Addr string
	Name string
	Cmd  string
	User string
	Idle time.Duration
}

func (x bypass) String() string {
	return fmt.Sprintf("%s on the %v (name %q, user %s, last command %s %v ago)", x.Addr, x.Side, x.Name, x.User, x.Cmd, x.Idle)
}

// A server tells of a connection which command was its last, and no more: one that
// writes and reads is seen when a look comes right behind a write. So there are some.
const (
	bypassLooks = 5
	bypassPause = 40 * time.Millisecond
)

// bypasses lists the connections whose last command was a write in one of some
// looks, and that are neither members nor coordinators of this migration, nor
// servers. Where connections cannot be listed nobody can be named. needed are the
// users that members log in by.
func bypasses(ctx context.Context, sd *side, name string) (out []bypass, needed map[string]bool, err error) {
	seen := map[string]bool{}
	for n := range bypassLooks {
		if n > 0 && !pause(ctx, bypassPause) {
			return nil, nil, context.Cause(ctx)
		}
		var now []bypass
		if now, needed, err = bypassesNow(ctx, sd, name); err != nil {
			return nil, nil, err
		}
		for _, x := range now {
			if !seen[x.Addr] {
				seen[x.Addr] = true
				out = append(out, x)
			}
		}
	}
	slices.SortFunc(out, func(a, b bypass) int { return strings.Compare(a.Addr, b.Addr) })
	return out, needed, nil
}

func bypassesNow(ctx context.Context, sd *side, name string) (out []bypass, needed map[string]bool, err error) {
	var mu sync.Mutex
	needed = map[string]bool{}
	err = sd.client.EachMaster(ctx, func(ctx context.Context, _ string, node *redis.Client) error {
		list, err := node.Do(ctx, "client", "list").Text()
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		for line := range strings.Lines(list) {
			f := control.ClientFields(line)
			if strings.HasPrefix(f["name"], "transload:"+name+":") || strings.HasPrefix(f["name"], "sentinel-") || strings.ContainsAny(f["flags"], "SM") {
				needed[f["user"]] = true
				continue
			}
			if strings.Contains(f["flags"], "P") || !writes(f["cmd"]) {
				continue
			}
			out = append(out, bypass{sd.Side, f["addr"], f["name"], f["cmd"], f["user"], time.Duration(number(f["idle"])) * time.Second})
		}
		return nil
	})
	return out, needed, err
}

// writes reports whether a command, as CLIENT LIST names it, changes keys.
func writes(cmd string) bool {
	verb, _, _ := strings.Cut(cmd, "|")
	switch verb {
	case "eval", "evalsha", "fcall", "exec": // may, and mostly do
		return true
	}
	args := []any{verb}
	k, ok := command.Lookup(args)
	return ok && k.Write(args)
}

// idleWriter is how long a connection must have been idle to be only warned of:
// it may be a pool's that was used for something once.
const idleWriter = 5 * time.Minute

// bypassGate wants nobody to write past the client.
func (b *bench) bypassGate() {
	var busy, idle, out []string
	for _, s := range protocol.Sides {
		for _, x := range b.others[s] {
			if b.care.Fence == FenceACL && s == b.from && mayShutOut(x, b.needed[s]) {
				out = append(out, x.String())
			} else if x.Idle < idleWriter {
				busy = append(busy, x.String())
			} else {
				idle = append(idle, x.String())
			}
		}
	}
	if len(out) > 0 {
		b.add("writers to be shut out", Warn, "", "they find themselves logged out when the first step is made", "%s", some(out, 3))
	}
	for _, user := range b.shutOut {
		b.add("writers shut out", Warn, "", "to let it in again, "+howToLetIn(user), "user %s is shut out of the source", user)
	}
	switch {
	case len(busy) == 0 && len(idle) == 0 && b.hidden != nil:
		b.add("other writers", Unknown, "none", "find out who else writes: what they write on a side that has given its keys is lost", "connections cannot be listed: %v", b.hidden)
	case len(busy) == 0 && len(idle) == 0:
		b.add("other writers", OK, "", "", "none was seen")
	case len(busy) == 0:
		b.add("other writers", Warn, "", "see what they are: what they write on a side that has given its keys is lost", "idle: %s", some(idle, 3))
	case b.care.AcceptBypass:
		b.add("other writers", Warn, "", "what they write on a side that has given its keys is lost", "accepted: %s", some(busy, 3))
	case b.care.Fence == FenceACL:
		b.add("other writers", Refused, "none", "give them a user of their own (ACL SETUSER), by which they can be shut out, or stop them",
			"they log in as the app, migrate or a server does, or write on the side that is to take over: %s", some(busy, 3))
	default:
		b.add("other writers", Refused, "none", "stop them, or have them use migrate.Open; --fence acl shuts them out, --accept-bypass if what they write may be lost", "%s", some(busy, 3))
	}
}
