package sessions

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// slack is how much longer an entry of a user's list lives than its session can:
	// they are on different servers of a cluster, whose clocks differ.
	slack = time.Minute

	// ripe is how old an entry is that has no session because it lost it, and not
	// because the login is under way.
	ripe = time.Minute
)

// listKey is a user's list. The user is the hash tag, so that each has a slot of his
// own, whatever his sessions have.
func (m *Manager) listKey(user string) string { return "sess:u:" + m.opt.Name + ":{" + user + "}" }

// An entry is one of a user's list. It may dangle: its session has expired, or was
// never made.
type entry struct {
	id   hash
	ripe bool
}

// enlist enters an id into its user's list, and says how many entries there are and
// whether a replica has it. Guests have no list.
func (m *Manager) enlist(ctx context.Context, user string, id hash) (entries int, confirmed bool, err error) {
	if user == "" {
		return 0, true, nil
	}
	reply, confirmed, err := m.redis.confirmed(ctx, enlistScript, m.listKey(user), id.String(), (m.opt.Lifetime + slack).Milliseconds())
	if err != nil {
		return 0, false, err
	}
	n, ok := number(reply)
	if !ok {
		return 0, false, errReply("enlist")
	}
	return int(n), confirmed, nil
}

// delist takes an id that has ended out of its user's list. An entry that stays
// leaves by itself.
func (m *Manager) delist(ctx context.Context, user string, id hash) {
	if user == "" {
		return
	}
	_ = m.redis.process(ctx, redis.NewIntCmd(ctx, "zrem", m.listKey(user), id.String()))
}

// roster reads a user's list, oldest entry first.
func (m *Manager) roster(ctx context.Context, user string) ([]entry, error) {
	if user == "" {
		return nil, nil
	}
	reply, err := m.redis.run(ctx, rosterScript, m.listKey(user), ripe.Milliseconds())
	if err != nil {
		return nil, err
	}
	flat, _ := reply.([]any)
	var list []entry
	for i := 0; i+1 < len(flat); i += 2 {
		text, _ := flat[i].(string)
		old, ok := number(flat[i+1])
		id, valid := parseHandle(text)
		if !ok || !valid {
			return nil, errReply("roster")
		}
		list = append(list, entry{id, old == 1})
	}
	return list, nil
}

// records reads the sessions of entries in one round trip. What has ended is nil.
func (m *Manager) records(ctx context.Context, list []entry) (recs []*record, err error) {
	cmds, err := call(ctx, m.redis, m.redis.budget, func(ctx context.Context) ([]redis.Cmder, error) {
		return m.redis.c.Pipelined(ctx, func(p redis.Pipeliner) error {
			for _, e := range list {
				_ = p.Process(ctx, fieldsOf(ctx, e.id))
			}
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	for _, cmd := range cmds {
		r, err := parseRecord(cmd.(*redis.SliceCmd).Val())
		if err != nil && !errors.Is(err, ErrNotFound) {
			return nil, err
		}
		recs = append(recs, r)
	}
	return recs, nil
}

// List returns the live sessions of a user, the oldest first, for him to look at and
// Revoke. It takes two round trips, however many there are.
func (m *Manager) List(ctx context.Context, user string) (_ []*Session, err error) {
	defer m.meter.done(opList, time.Now(), &err)
	if err := checkUser(user); err != nil {
		return nil, err
	}
	list, err := m.roster(ctx, user)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	recs, err := m.records(ctx, list)
	if err != nil {
		return nil, err
	}
	var live []*Session
	for i, r := range recs {
		if r != nil && !r.retired && r.user == user && !m.queue.denies(list[i].id, r) {
			live = append(live, r.session(list[i].id))
		}
	}
	return live, nil
}

// prune brings a list that has grown beyond PerUser back to it: entries without a
// session go first, then the oldest sessions, but never the newest. An entry that is
// not ripe may be of a login under way, and is left. What goes gets a tombstone
// before it leaves the list, so that no session is ever out of it.
func (m *Manager) prune(ctx context.Context, user string, newest hash) {
	list, err := m.roster(ctx, user)
	if err != nil {
		return // the next login will
	}
	recs, err := m.records(ctx, list)
	if err != nil {
		return
	}
	live := 0
	for i, r := range recs {
		switch {
		case r != nil && !r.retired:
			live++
		case r == nil && list[i].ripe:
			m.evict(ctx, user, list[i].id)
		}
	}
	for i, r := range recs {
		if live <= m.opt.PerUser {
			return
		}
		if r != nil && !r.retired && list[i].id != newest {
			m.evict(ctx, user, list[i].id)
			m.meter.evicted.Inc()
			live--
		}
	}
}

func (m *Manager) evict(ctx context.Context, user string, id hash) {
	if _, err := m.end(ctx, id, true); err == nil {
		m.delist(ctx, user, id)
	}
}

// olderThan returns the entries whose sessions were begun before a time.
func (m *Manager) olderThan(ctx context.Context, list []entry, before time.Time) (older []entry, err error) {
	recs, err := m.records(ctx, list)
	for i, r := range recs {
		if r != nil && r.created <= before.UnixMilli() {
			older = append(older, list[i])
		}
	}
	return older, err
}
