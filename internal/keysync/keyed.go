package keysync

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// A keyed is a kind of value whose elements have names: hash, set, sorted set.
// Such a value can be mended element by element.
type keyed struct {
	scan, look, put, drop string // commands
	group                 int    // words of an element in a scan
	scoreFirst            bool   // as put wants it
	same                  func(element []string, found any) bool
}

var keyedKinds = map[string]*keyed{
	"hash": {scan: "hscan", look: "hmget", put: "hset", drop: "hdel", group: 2, same: func(e []string, found any) bool {
		return found == any(e[1])
	}},
	"set": {scan: "sscan", look: "smismember", put: "sadd", drop: "srem", group: 1, same: func(_ []string, found any) bool {
		return found == any(int64(1))
	}},
	"zset": {scan: "zscan", look: "zmscore", put: "zadd", drop: "zrem", group: 2, scoreFirst: true, same: func(e []string, found any) bool {
		if found == nil {
			return false
		}
		return sameScore(e[1], fmt.Sprint(found))
	}},
}

// mendKeyed walks the elements of one side and looks for each on the other,
// then, if the lengths tell that there are more, the other way round.
func (l *large) mendKeyed(ctx context.Context, k *keyed) error {
	err := l.walk(ctx, k, l.from.client, l.a.step(), func(elements []string) error {
		found, err := k.lookUp(ctx, l.to.client, l.key, elements)
		if err != nil {
			return err
		}
		var differ []string
		for i, reply := range found {
			if e := elements[i*k.group : (i+1)*k.group]; !k.same(e, reply) {
				differ = append(differ, e...)
			}
		}
		if len(differ) == 0 {
			return nil
		}
		return l.put(ctx, k.putting(l.key, differ))
	})
	if err != nil {
		return err
	}
	return l.dropOthers(ctx, k)
}

// dropOthers deletes the elements that only the mirror has. Every element of
// the authority is on the mirror by now: if there are as many, there are no
// others.
func (l *large) dropOthers(ctx context.Context, k *keyed) error {
	a, err := l.from.head(ctx, l.fromCaps, l.key)
	if err != nil {
		return err
	}
	b, err := l.to.head(ctx, l.toCaps, l.key)
	if err != nil {
		return err
	}
	if a.kind != l.a.kind || b.kind != l.a.kind {
		return errChanged
	}
	if a.length == b.length {
		return nil
	}
	if !l.writes {
		return l.put(ctx)
	}
	return l.walk(ctx, k, l.to.client, l.b.step(), func(elements []string) error {
		found, err := k.lookUp(ctx, l.from.client, l.key, elements)
		if err != nil {
			return err
		}
		var others []string
		for i, reply := range found {
			if reply == nil || reply == any(int64(0)) && k.group == 1 {
				others = append(others, elements[i*k.group])
			}
		}
		if len(others) == 0 {
			return nil
		}
		return l.put(ctx, join(others, k.drop, l.key))
	})
}

// walk hands out the elements of a side's key, some at a time. An element may
// come twice.
func (l *large) walk(ctx context.Context, k *keyed, client redis.UniversalClient, step int64, f func(elements []string) error) error {
	for cursor := "0"; ; {
		if err := l.allowed(); err != nil {
			return err
		}
		reply, err := ask(ctx, client, k.scan, l.key, cursor, "count", step)
		if err != nil {
			return err
		}
		page, _ := reply.([]any)
		if len(page) != 2 {
			return fmt.Errorf("%w: %T for %s", errReply, reply, k.scan)
		}
		elements, err := texts(page[1])
		if err != nil {
			return err
		}
		for len(elements) > 0 { // small encodings come whole, whatever the count
			n := min(len(elements), int(step)*k.group)
			if err := f(elements[:n]); err != nil {
				return err
			}
			elements = elements[n:]
		}
		if cursor = fmt.Sprint(page[0]); cursor == "0" {
			return nil
		}
	}
}

// lookUp asks for elements by name.
func (k *keyed) lookUp(ctx context.Context, client redis.UniversalClient, key string, elements []string) ([]any, error) {
	words := []any{k.look, key}
	for i := 0; i < len(elements); i += k.group {
		words = append(words, elements[i])
	}
	reply, err := ask(ctx, client, words...)
	if err != nil {
		return nil, err
	}
	found, _ := reply.([]any)
	if len(found) != len(elements)/k.group {
		return nil, fmt.Errorf("%w: %d replies to %s", errReply, len(found), k.look)
	}
	return found, nil
}

// putting is the command that sets elements.
func (k *keyed) putting(key string, elements []string) []any {
	if k.scoreFirst {
		elements = scoresFirst(elements)
	}
	return join(elements, k.put, key)
}
