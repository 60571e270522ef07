package keysync

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"
)

// A write makes the key on the mirror what a reading says.
type write struct {
	task
	reading
}

func (j *job) writeOf(p pair) write { return write{task: p.task, reading: p.a} }

// errOpaque means that a value can be carried by DUMP alone, and that the
// other side does not take that.
var errOpaque = errors.New("a value of a type that only DUMP and RESTORE can carry")

// write sends the round's writes in one pipeline. Payloads that the server
// refuses are copied by type.
func (j *job) write(ctx context.Context, r *round) error {
	if len(r.writes) == 0 {
		return nil
	}
	refused, err := j.send(ctx, r.writes)
	if err != nil || len(refused) == 0 || j.fills {
		return err
	}
	lim := limits{large: j.Large, most: j.LargeLen}
	var again []write
	for i, reading := range j.from.read(ctx, j.fromCaps, refused, lim, true) {
		t := refused[i]
		switch {
		case reading.err != nil:
			j.results[t.index].Err = reading.err
		case reading.expiry == noRoom:
			t.size = reading.size
			r.later = append(r.later, t)
		case reading.expiry == isLarge:
			r.large = append(r.large, t)
		default:
			again = append(again, write{task: t, reading: reading})
		}
	}
	_, err = j.send(ctx, again)
	return err
}

// send writes, and returns the tasks whose payload was refused. Its own error
// is that of Check.
func (j *job) send(ctx context.Context, writes []write) (refused []task, err error) {
	if len(writes) == 0 {
		return nil, nil
	}
	if err := j.allowed(); err != nil {
		for _, w := range writes { // they differ, and stay so
			j.results[w.index].Err = err
		}
		return nil, err
	}
	pipe := j.to.client.Pipeline()
	cmds := make([]*redis.Cmd, len(writes))
	var programs []*call
	var programmed []write
	for i, w := range writes {
		switch {
		case w.expiry == absent:
			cmds[i] = pipe.Do(ctx, "unlink", w.key)
		case w.payload != "":
			words := []any{"restore", w.key, max(w.expiry, 0), w.payload, "absttl", "replace"}
			if j.fills {
				words = words[:5]
			}
			cmds[i] = pipe.Do(ctx, words...)
		case w.value.opaque:
			j.results[w.index].Err = fmt.Errorf("%w: %s", errOpaque, w.value.kind)
		default:
			p := programOf(w.key, w.value, w.expiry)
			programs = append(programs, &call{keys: []string{w.key}, argv: p})
			programmed = append(programmed, w)
		}
	}
	if pipe.Len() > 0 {
		_, _ = pipe.Exec(ctx) // each reply is looked at below
	}
	for i, cmd := range cmds {
		if cmd != nil && j.wrote(writes[i], cmd.Err(), len(writes[i].payload)) {
			refused = append(refused, writes[i].task)
		}
	}
	if len(programs) > 0 {
		j.to.run(ctx, j.toCaps, programScript, programs)
	}
	for i, c := range programs {
		j.wrote(programmed[i], c.err, programSize(c.argv))
	}
	return refused, nil
}

// wrote notes the outcome of a write, and reports whether the server refused
// the payload for what it is: a version or a type of value that it does not
// know. Such replies have no word of their own, but every other refusal has. A
// key that is there and must not be written over is refused too.
func (j *job) wrote(w write, err error, size int) (refused bool) {
	result := &j.results[w.index]
	if err != nil {
		if w.payload != "" && (isPlain(err) || j.fills && redis.HasErrorPrefix(err, "BUSYKEY")) {
			return true
		}
		result.Err = err
		return false
	}
	result.Action, result.Bytes = Copied, int64(size)
	switch {
	case w.expiry == absent:
		result.Action = Deleted
	case j.fills:
		result.Diff = Missing
	}
	return false
}

// ErrDropped means that Check did not let a key be written, or not all of it.
// Nothing that was sent for it is unanswered.
var ErrDropped = errors.New("keysync: writes dropped")

// allowed asks Check, right before a write or a piece of a large key.
func (j *job) allowed() error {
	if err := j.Check(); err != nil {
		return fmt.Errorf("%w: %w", ErrDropped, err)
	}
	return nil
}

// isPlain reports whether a server answered with an error that has no word of
// its own. (redis.HasErrorPrefix passes over "ERR".)
func isPlain(err error) bool {
	reply, ok := errors.AsType[redis.Error](err)
	return ok && strings.HasPrefix(reply.Error(), "ERR ")
}

func programSize(p program) (n int) {
	for _, word := range p {
		if s, ok := word.(string); ok {
			n += len(s)
		}
	}
	return n
}
