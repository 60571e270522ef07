package coordinator

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/control"
	"github.com/transload/transload/internal/protocol"
)

// rights are what a side lets the user run that the settings name.
type rights struct {
	user     string           // as ACL WHOAMI tells it
	why      error            // it could not be tried
	missing  map[string]error // command → what the server said
	prefixes []string         // of keys that the user may not touch
	lacks    []string         // commands that the app uses, and this server does not know
	lacksErr error
}

// tryCommands finds which commands a side allows, without running one: they are
// queued in a transaction, at which the server looks at the user's rights, and
// the transaction is discarded. ACL DRYRUN would need rights of its own.
func (k *checker) tryCommands(ctx context.Context, f *sideFacts) (r rights) {
	r.missing = map[string]error{}
	node, err := f.client.MasterFor(ctx, control.Prefix(k.c.opts.Name))
	if err != nil {
		r.why = err
		return r
	}
	k.askLacks(ctx, f, node, &r)
	r.user = cmp.Or(f.client.Config().Username, "default")
	if user, err := node.Do(ctx, "acl", "whoami").Text(); err == nil {
		r.user = user
	} else if !redis.HasErrorPrefix(err, "NOPERM") {
		r.user = "" // a server without users
		return r
	}
	conn := node.Conn()
	defer conn.Close()
	// Behind a MULTI that is refused everything would be carried out. So it is tried
	// alone first, and again in the one write with what it guards.
	for _, alone := range []string{"multi", "discard"} {
		if r.why = conn.Do(ctx, alone).Err(); r.why != nil {
			k.tryAlone(ctx, conn, alone, &r)
			return r
		}
	}
	p := conn.Pipeline()
	multi := p.Do(ctx, "multi")
	key, channel := control.Prefix(k.c.opts.Name)+"check", control.Prefix(k.c.opts.Name)+"check"
	tried := map[string]*redis.Cmd{}
	for _, n := range needs {
		if n.only != "" && n.only != f.client.Mode() {
			continue
		}
		for name := range strings.FieldsSeq(n.commands) {
			if tried[name] == nil {
				tried[name] = p.Do(ctx, trial(name, key, channel)...)
			}
		}
	}
	touched := map[string]*redis.Cmd{}
	for _, prefix := range k.prefixes() {
		touched[prefix] = p.Do(ctx, "set", prefix+"transload-check", "v", "xx")
	}
	discard := p.Do(ctx, "discard")
	_, _ = p.Exec(ctx) // each reply is looked at below
	if r.why = multi.Err(); r.why == nil {
		r.why = discard.Err()
	}
	if r.why != nil {
		return r
	}
	for name, cmd := range tried {
		if denied(cmd.Err()) {
			r.missing[name] = cmd.Err()
		}
	}
	for prefix, cmd := range touched {
		if denied(cmd.Err()) && r.missing["set"] == nil {
			r.prefixes = append(r.prefixes, prefix)
		}
	}
	slices.Sort(r.prefixes)
	return r
}

// tryAlone tries what changes nothing when it is carried out, where the user may
// not begin, or end, a transaction in which the rest could be tried.
func (k *checker) tryAlone(ctx context.Context, conn *redis.Conn, refused string, r *rights) {
	if !redis.HasErrorPrefix(r.why, "NOPERM") {
		return
	}
	r.missing[refused] = r.why
	if refused == "discard" {
		_ = conn.Do(ctx, "quit").Err() // who had this connection next would be in a transaction
		return
	}
	key := control.Prefix(k.c.opts.Name) + "check"
	for _, name := range []string{"eval", "evalsha", "get", "hgetall", "type", "scan", "time"} {
		if err := conn.Do(ctx, trial(name, key, key)...).Err(); redis.HasErrorPrefix(err, "NOPERM") {
			r.missing[name] = err
		}
	}
}

// prefixes are beginnings of keys that the migration must be able to touch: every
// workload's, and any.
func (k *checker) prefixes() []string {
	out := []string{""}
	for _, w := range k.plan.workloads {
		if !w.Cold {
			out = append(out, w.Prefixes...)
		}
	}
	return out
}

// askLacks asks whether the server knows the commands that the app was seen to
// use.
func (k *checker) askLacks(ctx context.Context, f *sideFacts, node *redis.Client, r *rights) {
	heads := map[string]bool{}
	for _, c := range k.censuses() {
		for name := range c.Commands {
			head, _, _ := strings.Cut(name, "|")
			heads[head] = true
		}
	}
	names := sortedKeys(heads)
	if len(names) == 0 {
		return
	}
	args := []any{"command", "info"}
	for _, name := range names {
		args = append(args, name)
	}
	list, err := node.Do(ctx, args...).Slice()
	if err != nil {
		r.lacksErr = err
		return
	}
	for i, info := range list {
		if info == nil && i < len(names) {
			r.lacks = append(r.lacks, names[i])
		}
	}
}

// judgeCommands says which commands a side does not allow, and what is lost
// without them.
func (k *checker) judgeCommands(f *sideFacts) {
	side, r := f.String(), f.rights
	if redis.HasErrorPrefix(r.why, "NOPERM") {
		k.refuse("commands", side, "ACL SETUSER "+r.user+" "+allRights+", on every node: ACLs are not replicated",
			"user %s may not run %s, so that the rest cannot be tried either; %s", r.user, some(sortedKeys(r.missing), 8), needs[0].lost)
		return
	}
	if r.why != nil {
		k.unknown("commands", side, "look at ACL GETUSER of the user that migrate and the app log in as", r.why)
	}
	full := r.why == nil
	for _, n := range needs {
		if missing := n.missing(f); len(missing) > 0 {
			full = false
			k.add(n.name, side, n.verdict, nextForCommands(f, missing), "not to be had: %s; %s", some(missing, 8), n.lost)
		}
	}
	if len(r.prefixes) > 0 {
		full = false
		quoted := make([]string, len(r.prefixes))
		for i, p := range r.prefixes {
			quoted[i] = fmt.Sprintf("%q", p)
		}
		k.refuse("rights on keys", side, "ACL SETUSER "+r.user+" allkeys", "user %s may not write keys that begin with %s", r.user, some(quoted, 6))
	}
	if full {
		k.ok("commands", side, "everything that a migration sends is allowed%s", paren(r.user))
	}
	k.judgeLacks(f)
}

// allRights are the rules of a user who may do all that a migration does.
const allRights = "~* &* +@read +@write +@scripting +@transaction +@pubsub +@connection +time +wait +role +info +config|get +cluster +bgsave +lastsave +acl|whoami +acl|users"

func nextForCommands(f *sideFacts, missing []string) string {
	if strings.Contains(missing[0], " on ") {
		return "give user " + f.rights.user + " the same rights there: ACLs are not replicated"
	}
	if len(f.rights.missing) == 0 {
		return "use another server or service, if that matters"
	}
	var words []string
	for _, name := range missing {
		if err := f.rights.missing[strings.ReplaceAll(name, " ", "|")]; err != nil && !redis.HasErrorPrefix(err, "NOPERM") {
			return "the server does not know them, or has been told not to: see rename-command, and what the service allows"
		}
		words = append(words, "+"+strings.ReplaceAll(name, " ", "|"))
	}
	return "ACL SETUSER " + f.rights.user + " ~* &transload:* " + strings.Join(words, " ") + ", on every node: ACLs are not replicated"
}

// judgeLacks says which of the app's commands a side does not know.
func (k *checker) judgeLacks(f *sideFacts) {
	r := f.rights
	switch {
	case f.Side != protocol.Target || len(k.censuses()) == 0:
	case r.lacksErr != nil:
		k.unknown("the app's commands", f.String(), "see that the version knows what the app uses", r.lacksErr)
	case len(r.lacks) > 0:
		k.refuse("the app's commands", f.String(), "use a version, or modules, that know them", "the app uses what this server does not know: %s", some(r.lacks, 8))
	default:
		k.ok("the app's commands", f.String(), "it knows every one that the app was seen to use")
	}
}

// withNext adds what is to be done about a side that answered with an error. If
// its user may not run something, that is what check would refuse.
func (c *Coordinator) withNext(ctx context.Context, err error) error {
	if next, ok := nextForReply(err); ok {
		err = &SideError{Err: err, Next: next}
	}
	if !redis.HasErrorPrefix(err, "NOPERM") && !redis.HasErrorPrefix(err, "The user executing the script") {
		return err
	}
	k := &checker{c: c}
	k.meet(ctx)
	for _, s := range protocol.Sides {
		if f := k.sides[s]; f.met() {
			f.rights = k.tryCommands(ctx, f)
			k.judgeCommands(f)
		}
	}
	if refusal := k.report().Refusal(); refusal != nil {
		return refusal
	}
	return err
}
