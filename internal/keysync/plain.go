package keysync

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"
)

// A script that hands out payloads costs a server twice what DUMP does: Lua
// copies, and hashes, every one; even a script that only tells sizes and expiries
// costs more than these commands. So keys are read by plain commands where that
// shows the same as one step would: the expiry is read right before the value and
// right after it. If it is the same, value and expiry are of one moment; if not,
// and for whatever else is not plain, the script reads the key.

// soon is how near an expiry is read by the script, which tells the server's time
// with it: only that shows whether a key may have expired between the readings of
// two sides. It is above any skew of clocks with which a migration is allowed to
// go on; more skew makes more work for the script, but nothing wrong.
const soon = time.Minute

// A plain is the reading of some keys by plain commands.
type plain struct {
	client   redis.UniversalClient
	tasks    []task
	readings []reading
	names    []any // the keys, as arguments
	odd      []int // those that the script must read
}

// readPlain reads the keys in two pipelines: how large each is, then what it
// holds. A large key is never dumped.
func (s *Side) readPlain(ctx context.Context, caps Capabilities, tasks []task, lim limits) []reading {
	p := &plain{client: s.client, tasks: tasks, readings: make([]reading, len(tasks)), names: make([]any, len(tasks))}
	for i := range tasks {
		p.names[i] = tasks[i].key
	}
	if small := p.sizes(ctx, lim); len(small) > 0 {
		p.values(ctx, small)
	}
	if len(p.odd) == 0 {
		return p.readings
	}
	odd := make([]task, len(p.odd))
	for i, at := range p.odd {
		odd[i] = tasks[at]
	}
	for i, r := range s.readByScript(ctx, caps, odd, lim, false) {
		p.readings[p.odd[i]] = r
	}
	return p.readings
}

// sizes asks how large the keys are, and returns those whose values can be read
// now: they are there, not large, and there is room for them.
func (p *plain) sizes(ctx context.Context, lim limits) (small []int) {
	pipe := p.client.Pipeline()
	cmds := make([]*redis.IntCmd, len(p.tasks))
	for i := range cmds {
		cmds[i] = redis.NewIntCmd(ctx, "memory", "usage", p.names[i])
		_ = pipe.Process(ctx, cmds[i]) // queued
	}
	_, _ = pipe.Exec(ctx) // each reply is looked at below
	room := int64(roundRoom)
	for i, cmd := range cmds {
		r, size := &p.readings[i], cmd.Val()
		switch err := cmd.Err(); {
		case errors.Is(err, redis.Nil):
			r.expiry = absent
		case err != nil:
			p.fault(i, err)
		case lim.large > 0 && size > lim.large:
			r.expiry, r.size = isLarge, size
		case size > room && len(small) > 0:
			r.expiry, r.size = noRoom, size
		default:
			room -= size
			small = append(small, i)
		}
	}
	return small
}

// fault notes an error: the script will tell what is the matter, unless the server
// did not answer.
func (p *plain) fault(i int, err error) {
	if isReply(err) {
		p.odd = append(p.odd, i)
		return
	}
	p.readings[i].err = err
}

// values reads payload and expiry of some keys.
func (p *plain) values(ctx context.Context, some []int) {
	pipe := p.client.Pipeline()
	before, after := make([]*redis.IntCmd, len(some)), make([]*redis.IntCmd, len(some))
	dumps := make([]*redis.StringCmd, len(some))
	for i, at := range some {
		before[i] = redis.NewIntCmd(ctx, "pexpiretime", p.names[at])
		dumps[i] = redis.NewStringCmd(ctx, "dump", p.names[at])
		after[i] = redis.NewIntCmd(ctx, "pexpiretime", p.names[at])
		for _, cmd := range []redis.Cmder{before[i], dumps[i], after[i]} {
			_ = pipe.Process(ctx, cmd) // queued
		}
	}
	_, _ = pipe.Exec(ctx) // each reply is looked at below
	late := time.Now().Add(soon).UnixMilli()
	for i, at := range some {
		r, expiry := &p.readings[at], after[i].Val()
		switch err := dumps[i].Err(); {
		case errors.Is(err, redis.Nil):
			r.expiry = absent
		case err != nil:
			p.fault(at, err)
		case before[i].Err() != nil || after[i].Err() != nil || before[i].Val() != expiry || expiry >= 0 && expiry < late:
			p.odd = append(p.odd, at)
		default:
			r.expiry, r.payload = expiry, dumps[i].Val()
		}
	}
}
