package keysync

import (
	"context"
	"fmt"
	"time"
)

// keysPerScript is how many keys one script reads where it may read several:
// enough to make up for the cost of running it, few enough to be over in
// under half a millisecond.
const keysPerScript = 25

// roomPerScript bounds the bytes that one script reads, and with that how long
// it holds the server.
const roomPerScript = 256 << 10

// States of a reading, in place of an expiry, as dump.lua returns them.
const (
	isLarge   int64 = -3
	noRoom    int64 = -4
	noPayload int64 = -5
)

// A reading is what a side held for a key at one moment.
type reading struct {
	expiry  int64 // milliseconds, or one of the states
	payload string
	value   *value // where it was read by type
	size    int64  // where it is large or had no room
	now     int64  // the server's time then, in milliseconds
	err     error
}

// limits say what counts as large.
type limits struct {
	large int64 // 0 for none
	most  int
}

// read reads the keys, by DUMP or by type.
func (s *Side) read(ctx context.Context, caps Capabilities, tasks []task, lim limits, typed bool) []reading {
	if !typed && caps.ExpireTime {
		return s.readPlain(ctx, caps, tasks, lim)
	}
	return s.readByScript(ctx, caps, tasks, lim, typed)
}

// readByScript reads the keys in one pipeline of scripts. A task whose size is
// known has a script to itself.
func (s *Side) readByScript(ctx context.Context, caps Capabilities, tasks []task, lim limits, typed bool) []reading {
	readings := make([]reading, len(tasks))
	calls, first := s.calls(caps, tasks, lim, typed)
	sc := dumpScript
	if typed {
		sc = typedScript
	}
	s.run(ctx, caps, sc, calls)
	for i, c := range calls {
		into := readings[first[i] : first[i]+len(c.keys)]
		if typed {
			c.readValues(into)
		} else {
			c.readPayloads(into)
		}
	}
	return readings
}

// calls shares the tasks out among scripts, and says which is the first of
// each.
func (s *Side) calls(caps Capabilities, tasks []task, lim limits, typed bool) (calls []*call, first []int) {
	per := keysPerScript
	if s.single {
		per = 1
	}
	flag := 0
	if caps.ExpireTime {
		flag = 1
	}
	for i := 0; i < len(tasks); {
		n, room := 1, max(lim.large, 1)
		if tasks[i].size == 0 {
			for n < per && i+n < len(tasks) && tasks[i+n].size == 0 {
				n++
			}
			room = min(room, int64(roundRoom*n/len(tasks)))
			if n > 1 {
				room = min(room, roomPerScript)
			}
		}
		c := &call{keys: make([]string, n), argv: []any{lim.large, room, flag}}
		if typed {
			c.argv = append(c.argv, lim.most)
		}
		for j := range n {
			c.keys[j] = tasks[i+j].key
		}
		calls, first = append(calls, c), append(first, i)
		i += n
	}
	return calls, first
}

// readPayloads takes the reply of dump.lua.
func (c *call) readPayloads(into []reading) {
	if c.err == nil && len(c.reply) != 2*len(into)+1 {
		c.err = fmt.Errorf("%w: %d values for %d keys", errReply, len(c.reply), len(into))
	}
	for i := range into {
		r := &into[i]
		if r.err = c.err; r.err != nil {
			continue
		}
		r.now, _ = c.reply[len(c.reply)-1].(int64)
		r.expiry, _ = c.reply[2*i+1].(int64)
		switch content := c.reply[2*i].(type) {
		case string:
			r.payload = content
		case int64:
			r.size = content
		}
	}
}

// readValues takes the reply of typed.lua.
func (c *call) readValues(into []reading) {
	if c.err == nil && len(c.reply) != len(into)+1 {
		c.err = fmt.Errorf("%w: %d values for %d keys", errReply, len(c.reply), len(into))
	}
	for i := range into {
		r := &into[i]
		if r.err = c.err; r.err != nil {
			continue
		}
		r.now, _ = c.reply[len(c.reply)-1].(int64)
		parts, _ := c.reply[i].([]any)
		if len(parts) < 2 {
			r.err = fmt.Errorf("%w: %T for a key", errReply, c.reply[i])
			continue
		}
		kind, _ := parts[0].(string)
		number, _ := parts[1].(int64)
		switch kind {
		case "large":
			r.expiry, r.size = isLarge, number
		case "later":
			r.expiry, r.size = noRoom, number
		default:
			r.expiry = number
			if number != absent {
				r.value, r.err = parseValue(kind, parts[2:])
			}
		}
	}
}

// gone reports whether a key that expires then has done so by a moment that
// lies after later than the reading.
func (r reading) gone(after, tolerance time.Duration) bool {
	return r.expiry >= 0 && r.expiry <= r.now+(after+tolerance).Milliseconds()+1
}
