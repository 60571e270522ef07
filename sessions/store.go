package sessions

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/redis/go-redis/v9"
)

// errReply means that a script's reply has not the form that it must have. It is
// taken for no answer.
func errReply(what string) error {
	return fmt.Errorf("%w: %s: a reply of another form: does something else write the keys sess:?", ErrUnavailable, what)
}

// load reads a session in one round trip. With touch its idle time begins anew.
//
// What is not found is asked for once more, by a script: that is always sent to the
// primary, while a client that reads from replicas may have asked one that has not
// heard of the login yet.
func (m *Manager) load(ctx context.Context, id hash, touch bool) (*record, error) {
	if touch {
		reply, err := m.redis.run(ctx, touchScript, id.key(), m.opt.Idle.Milliseconds())
		if err != nil {
			return nil, err
		}
		fields, _ := reply.([]any)
		return parseRecord(fields)
	}
	cmd := fieldsOf(ctx, id)
	if err := m.redis.process(ctx, cmd); err != nil {
		return nil, err
	}
	r, err := parseRecord(cmd.Val())
	if missing(err) {
		return m.load(ctx, id, true)
	}
	return r, err
}

// missing reports whether a session is not there, without a tombstone in its place.
func missing(err error) bool { return errors.Is(err, ErrNotFound) && !errors.Is(err, errGone) }

// fieldsOf is the command that parseRecord reads the reply of.
func fieldsOf(ctx context.Context, id hash) *redis.SliceCmd {
	return redis.NewSliceCmd(ctx, "hmget", id.key(), "u", "d", "v", "c", "a", "x", "r")
}

// parseRecord reads the fields user, values, version, created, ends, tombstone,
// retired.
func parseRecord(f []any) (*record, error) {
	if len(f) != 7 {
		return nil, errReply("load")
	}
	if f[5] != nil {
		return nil, errGone
	}
	if f[4] == nil {
		return nil, ErrNotFound
	}
	r := &record{retired: f[6] != nil}
	var ok [5]bool
	var data string
	r.user, ok[0] = f[0].(string)
	data, ok[1] = f[1].(string)
	r.version, ok[2] = number(f[2])
	r.created, ok[3] = number(f[3])
	r.ends, ok[4] = number(f[4])
	if ok != [5]bool{true, true, true, true, true} {
		return nil, errReply("load")
	}
	r.data = []byte(data)
	return r, nil
}

func number(v any) (int64, bool) {
	switch v := v.(type) {
	case int64:
		return v, true
	case string:
		n, err := strconv.ParseInt(v, 10, 64)
		return n, err == nil
	}
	return 0, false
}

// numbers reads a reply of whole numbers.
func numbers(reply any) []int64 {
	list, _ := reply.([]any)
	out := make([]int64, len(list))
	for i, v := range list {
		n, ok := number(v)
		if !ok {
			return nil
		}
		out[i] = n
	}
	return out
}

// put makes a session. One that was revoked meanwhile is errGone, one that another
// call has made ErrConflict.
func (m *Manager) put(ctx context.Context, id hash, r record, s span) (made *record, confirmed bool, err error) {
	reply, confirmed, err := m.redis.confirmed(ctx, createScript, id.key(),
		s.created, s.ends, m.opt.Idle.Milliseconds(), r.user, r.data, newNonce(), r.version)
	if err != nil {
		return nil, false, err
	}
	switch n := numbers(reply); {
	case len(n) == 3 && n[0] == 1:
		r.created, r.ends = n[1], n[2]
		return &r, confirmed, nil
	case len(n) == 1 && n[0] == 0:
		return nil, false, errGone
	case len(n) == 1 && n[0] == 2:
		return nil, false, ErrConflict
	}
	return nil, false, errReply("create")
}

// changed reads what save and retire answer: a positive number, 0 for no session, less
// for a conflict.
func changed(reply any) (int64, error) {
	switch n, ok := number(reply); {
	case !ok:
		return 0, errReply("change")
	case n == 0:
		return 0, ErrNotFound
	case n < 0:
		return 0, ErrConflict
	default:
		return n, nil
	}
}

// bury puts a tombstone in a session's place; with plant also where there is no
// session. It returns the id that has replaced this one, if any, and the user.
func (m *Manager) bury(ctx context.Context, id hash, plant bool) (g grave, err error) {
	var lifetime int64
	if plant {
		lifetime = m.opt.Lifetime.Milliseconds()
	}
	reply, confirmed, err := m.redis.confirmed(ctx, revokeScript, id.key(), lifetime)
	if err != nil {
		return grave{}, err
	}
	f, _ := reply.([]any)
	if len(f) != 3 {
		return grave{}, errReply("revoke")
	}
	n, ok := number(f[0])
	to, _ := f[1].(string)
	if g.user, _ = f[2].(string); !ok {
		return grave{}, errReply("revoke")
	}
	g.dug, g.confirmed = n == 1, confirmed || n == 0
	g.next, g.replaced = parseHandle(to)
	return g, nil
}

// A grave is what revoke.lua says.
type grave struct {
	dug       bool // there is a tombstone
	confirmed bool // a replica has it, or there is nothing to have
	user      string
	next      hash // the id that has replaced this one
	replaced  bool
}
