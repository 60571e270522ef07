package coordinator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/control"
	"github.com/transload/transload/internal/protocol"
)

// FenceACL has writers that do not use the client shut out by their users' rights.
const FenceACL = "acl"

// Writers that do not use the client obey no record, so that nothing of ours holds
// them off a side that has given its keys. With Care.Fence they are shut out there by
// the one thing that a server itself heeds: their user is switched off and its
// connections are killed, in one transaction on every node. Off alone leaves open
// connections be; taking away rights to write leaves a command that is blocked,
// and writes when it wakes. Replicas have rights of their own and are done too: one may be
// promoted. The audit has it before it is done, with how to undo it.

// A shutting is what was done to the users of one side's writers.
type shutting struct {
	t    *term
	side *side
	done []shutAt // in the order in which it was done
}

type shutAt struct{ addr, user string }

func shutOutText(user string, s protocol.Side) string {
	return fmt.Sprintf("shut out user %s of the %v by ACL", user, s)
}

func letInText(user string, s protocol.Side) string {
	return fmt.Sprintf("let user %s in again on the %v", user, s)
}

// howToLetIn says what to do by hand.
func howToLetIn(user string) string {
	return fmt.Sprintf("on every node, replicas too: ACL SETUSER %s on, then ACL SAVE where an aclfile is set", user)
}

// shutOut shuts the writers out that are on a side now. What it has done must be
// undone by its caller if nothing moves.
func (t *term) shutOut(ctx context.Context, s protocol.Side) (*shutting, error) {
	sh := &shutting{t: t, side: t.sides[s]}
	list, needed, err := bypasses(ctx, sh.side, t.c.opts.Name)
	if err != nil {
		return sh, fmt.Errorf("coordinator: list the connections of the %v: %w", s, err)
	}
	for _, user := range usersOf(list, needed) {
		if err := sh.user(ctx, user); err != nil {
			return sh, refuse("other writers", "let migrate's user run ACL GETUSER, SETUSER and SAVE, or shut it out by hand, or stop it",
				"user %s could not be shut out of the %v: %v", user, s, err)
		}
	}
	return sh, nil
}

// usersOf returns the users that may be switched off: none that the migration or
// a server logs in by.
func usersOf(list []bypass, needed map[string]bool) (users []string) {
	for _, x := range list {
		if mayShutOut(x, needed) {
			users = append(users, x.User)
		}
	}
	slices.Sort(users)
	return slices.Compact(users)
}

func mayShutOut(x bypass, needed map[string]bool) bool { return x.User != "" && !needed[x.User] }

// user shuts one user out on every node.
func (sh *shutting) user(ctx context.Context, user string) error {
	nodes, err := sh.side.client.Nodes(ctx)
	if err != nil {
		return err
	}
	sh.note(ctx, shutOutText(user, sh.side.Side), map[string]string{"undo": howToLetIn(user)})
	for _, n := range nodes {
		if err := sh.node(ctx, n.Addr, user); err != nil {
			return fmt.Errorf("%s: %w", n.Addr, err)
		}
	}
	sh.t.c.report("fence", "user %s is shut out of the %v; to let it in again, %s", user, sh.side.Side, howToLetIn(user))
	return nil
}

// node switches a user off. A node that does not have the user lets nobody log in
// by it, and one where it is off is not ours to undo.
func (sh *shutting) node(ctx context.Context, addr, user string) error {
	node, err := sh.side.client.Node(addr)
	if err != nil {
		return err
	}
	defer node.Close()
	on, err := isOn(ctx, node, user)
	if err != nil || !on {
		return err
	}
	sh.done = append(sh.done, shutAt{addr, user}) // or it may be
	_, err = node.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.Do(ctx, "acl", "setuser", user, "off")
		p.Do(ctx, "client", "kill", "user", user)
		return nil
	})
	if err != nil {
		return err
	}
	sh.save(ctx, node, addr)
	return nil
}

// isOn reports whether a node has a user, and lets it log in.
func isOn(ctx context.Context, node *redis.Client, user string) (bool, error) {
	reply, err := node.Do(ctx, "acl", "getuser", user).Result()
	switch {
	case errors.Is(err, redis.Nil):
		return false, nil
	case err != nil:
		return false, err
	}
	var flags any
	switch r := reply.(type) {
	case map[any]any:
		flags = r["flags"]
	case []any:
		for i := 0; i+1 < len(r); i += 2 {
			if r[i] == "flags" {
				flags = r[i+1]
			}
		}
	}
	list, _ := flags.([]any)
	return slices.Contains(list, any("on")), nil
}

// save keeps the users over a restart, where the server has a file for them.
func (sh *shutting) save(ctx context.Context, node *redis.Client, addr string) {
	if err := node.Do(ctx, "acl", "save").Err(); err != nil {
		sh.t.log.Warn("users are not kept over a restart of this node", "op", "fence", "addr", addr, "err", err)
		sh.t.c.report("fence", "%s does not keep it over a restart (%v)", addr, err)
	}
}

// undo lets in again whoever was shut out.
func (sh *shutting) undo(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askFor)
	defer cancel()
	left := map[string]error{}
	for _, at := range sh.done {
		if err := sh.letIn(ctx, at); err != nil {
			left[at.user] = fmt.Errorf("%s: %w", at.addr, err)
		} else if _, ok := left[at.user]; !ok {
			left[at.user] = nil
		}
	}
	for _, user := range sortedKeys(left) {
		if err := left[user]; err != nil {
			sh.t.log.Warn("user is still shut out", "op", "fence", "side", sh.side.String(), "err", err)
			sh.t.c.report("fence", "user %s is still shut out of the %v (%v); to let it in again, %s", user, sh.side.Side, err, howToLetIn(user))
			continue
		}
		sh.note(ctx, letInText(user, sh.side.Side), nil)
		sh.t.c.report("fence", "user %s is let in again on the %v", user, sh.side.Side)
	}
}

func (sh *shutting) letIn(ctx context.Context, at shutAt) error {
	node, err := sh.side.client.Node(at.addr)
	if err != nil {
		return err
	}
	defer node.Close()
	if err := node.Do(ctx, "acl", "setuser", at.user, "on").Err(); err != nil {
		return err
	}
	sh.save(ctx, node, at.addr)
	return nil
}

// note puts a line into the audit of both sides.
func (sh *shutting) note(ctx context.Context, what string, figures map[string]string) {
	for _, s := range protocol.Sides {
		if err := sh.t.sides[s].store.Note(ctx, control.Event{Who: sh.t.id, What: what, Why: sh.t.why(), Figures: figures}); err != nil {
			sh.t.log.Warn("not noted in the audit", "op", "fence", "side", s.String(), "what", what, "err", err)
		}
	}
}

// stillOut returns the users of a side that an audit says are shut out.
func stillOut(audit []control.Event, s protocol.Side) (users []string) {
	before, after, _ := strings.Cut(shutOutText("\x00", s), "\x00")
	for _, e := range audit {
		if user, ok := strings.CutPrefix(e.What, before); ok && strings.HasSuffix(user, after) {
			if user = strings.TrimSuffix(user, after); !slices.Contains(users, user) {
				users = append(users, user)
			}
		}
		users = slices.DeleteFunc(users, func(user string) bool { return e.What == letInText(user, s) })
	}
	return users
}
