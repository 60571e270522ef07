package history

import (
	"fmt"
	"slices"
	"strconv"
)

// A Loss tells what is not there any more at the end.
type Loss struct {
	Acknowledged int64 // writes
	Lost         int64 // of these, those that are not there and not excused
	Excused      int64 // those that are not there and may be
	Invented     int64 // what is there, and nobody tried to write
	Samples      []string
}

func (l *Loss) say(format string, args ...any) {
	if len(l.Samples) < 10 {
		l.Samples = append(l.Samples, fmt.Sprintf(format, args...))
	}
}

// Lost compares what was acknowledged with what the last read of each key shows;
// see ReadBack. excuse says which writes may be gone.
func Lost(ops []Op, excuse func(Op) bool) Loss {
	byKey := map[string][]Op{}
	for _, o := range ops {
		byKey[o.Key] = append(byKey[o.Key], o)
	}
	var l Loss
	for key, ops := range byKey {
		last := lastRead(ops)
		for _, o := range ops {
			if o.acked() {
				l.Acknowledged++
			}
		}
		switch last.Kind {
		case Members:
			l.set(key, ops, last, excuse)
		case Count:
			l.counter(key, ops, last, excuse)
		default:
			l.register(key, ops, last, excuse)
		}
	}
	return l
}

// lastRead returns the read of a key that was called last, and has returned.
func lastRead(ops []Op) (last Op) {
	for _, o := range ops {
		if o.Kind.reads() && o.End == Returned && o.Call >= last.Call {
			last = o
		}
	}
	return last
}

func (l *Loss) gone(key string, o Op, n int64, excuse func(Op) bool) {
	if excuse(o) {
		l.Excused += n
		return
	}
	l.Lost += n
	l.say("%s is gone: %v", key, o)
}

func (l *Loss) set(key string, ops []Op, last Op, excuse func(Op) bool) {
	there := map[string]bool{}
	for _, el := range last.List {
		there[el] = true
	}
	for _, o := range ops {
		if o.acked() && !there[o.Value] {
			l.gone(key, o, 1, excuse)
		}
		delete(there, o.Value)
	}
	l.Invented += int64(len(there))
	for el := range there {
		l.say("%s: %s is there and nobody wrote it", key, el)
	}
}

// counter holds the number against those of INCR that count, and those that may.
func (l *Loss) counter(key string, ops []Op, last Op, excuse func(Op) bool) {
	got, _ := strconv.ParseInt(last.Reply, 10, 64)
	var must, acked, may int64
	for _, o := range ops {
		switch {
		case o.Kind != Incr || o.End == Failed:
			continue
		case o.acked() && !excuse(o):
			must++
		}
		if o.acked() {
			acked++
		}
		may++
	}
	if missing := must - got; missing > 0 {
		l.Lost += missing
		l.say("%s is %d; %d were acknowledged", key, got, must)
	}
	l.Excused += max(0, acked-max(got, must))
	if more := got - may; more > 0 {
		l.Invented += more
		l.say("%s is %d; only %d were tried", key, got, may)
	}
}

// register looks for a write that had to come after the one whose value is there.
func (l *Loss) register(key string, ops []Op, last Op, excuse func(Op) bool) {
	from := int64(-1) // when that one had returned
	if last.Reply != "" {
		i := slices.IndexFunc(ops, func(o Op) bool { return !o.Kind.reads() && o.Value == last.Reply })
		if i < 0 {
			l.Invented++
			l.say("%s: %s is there and nobody wrote it", key, last.Reply)
			return
		}
		from = ops[i].Return
	}
	var over *Op // of those that had to come after, the one that is excused last
	for i, o := range ops {
		if o.acked() && o.Call > from && (over == nil || !excuse(o)) {
			over = &ops[i]
		}
	}
	if over != nil {
		l.gone(key, *over, 1, excuse)
	}
}
