package pubsub

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// errMoving means that neither side of a plain pair has a partition: Move is under way,
// or was ended in the middle.
var errMoving = errors.New("neither side has the partition: Move is under way, or has to be run again")

func newServers(c redis.UniversalClient, o Options) (s [2]*server) {
	s[0] = newServer(c, "redis", o)
	if o.Also != nil {
		s[1] = newServer(o.Also, "also", o)
	}
	return s
}

// server is the one that has a partition, as far as is known.
func (h *Hub) server(p *partition) *server {
	if p.second.Load() {
		return h.redis[1]
	}
	return h.redis[0]
}

func (p *partition) sideKey() string { return p.channel + ":side" }

// run runs a script on the side that has a partition. Of a plain pair the side itself
// knows, and the script asks it.
// The first of its keys is the head of a topic, or what else the partition has; the
// second the side's.
func (h *Hub) run(ctx context.Context, p *partition, s *script, keys []string, args ...any) (v any, err error) {
	defer func() {
		if err == nil {
			p.replied.Store(h.since())
		}
	}()
	if h.redis[1] == nil {
		return h.redis[0].run(ctx, s, keys, append(args, 0)...)
	}
	for range 4 { // one to find the side, one to fetch the topic, and as many if it moves meanwhile
		second := p.second.Load()
		from, to, side := h.redis[1], h.redis[0], 1
		if second {
			from, to, side = h.redis[0], h.redis[1], 2
		}
		v, err = to.run(ctx, s, keys, append(args[:len(args):len(args)], side)...)
		switch {
		case redis.HasErrorPrefix(err, "ELSEWHERE"):
			p.second.CompareAndSwap(second, !second)
		case redis.HasErrorPrefix(err, "IMPORT"):
			if _, err = h.fetchTopic(ctx, from, to, p, strings.TrimPrefix(keys[0], p.key("")), moveOf(err)); err != nil {
				return nil, err
			}
		default:
			return v, err
		}
	}
	return nil, fmt.Errorf("%w: %w", ErrUnavailable, errMoving)
}

// moveOf reads the number of a move out of an error of absent or a side's key.
func moveOf(v any) string {
	text := fmt.Sprint(v)
	return text[strings.LastIndexByte(text, ' ')+1:]
}

// fetchTopic brings a topic from the side that has given it to the one that has it. It
// may be done by several at once: the first one counts.
func (h *Hub) fetchTopic(ctx context.Context, from, to *server, p *partition, topic, move string) (fetched bool, err error) {
	var keys []string
	v, err := h.paged(topic, func(pages int) (any, error) {
		keys = append([]string{p.key(topic), p.sideKey()}, p.pages(topic, pages)...)
		return from.run(ctx, exportScript, keys, move)
	})
	if redis.HasErrorPrefix(err, "MOVING") {
		return false, fmt.Errorf("%w: %w", ErrUnavailable, errMoving)
	}
	if err != nil {
		return false, err
	}
	args, err := imported(v, move)
	if err != nil {
		return false, err
	}
	n, err := to.run(ctx, importScript, keys, args...)
	return n == int64(1), err
}

// imported makes arguments of import.lua of what export.lua has returned.
func imported(v any, move string) (args []any, err error) {
	list, _ := v.([]any)
	if len(list) < 3 {
		return nil, fmt.Errorf("%w: a topic to be moved", errFrame)
	}
	ttl, _ := list[0].(int64)
	if ttl <= 0 {
		ttl = 60_000 // there is none: that it has been looked for is remembered
	}
	args = append(args, move, ttl)
	for _, part := range list[1:] {
		fields, ok := part.([]any)
		if !ok {
			return nil, fmt.Errorf("%w: a topic to be moved", errFrame)
		}
		args = append(append(args, len(fields)), fields...)
	}
	return args, nil
}

// Move hands all partitions of a plain pair to its second client, Options.Also, or, with
// back, to the first. Each is given up on one side first and opened on the other then,
// so that no message is numbered on both; what is published in between, some
// milliseconds, waits. Topics go over when they are used next, and at the end all that
// are left. It may be run again, and must be if it fails: what was done is found.
//
// All processes must have been given both clients before, and keep them until it has
// returned. Then those that go on with the one side alone may have it alone. Both must
// be primaries that stay so meanwhile: a failover may bring back what was given up.
func (h *Hub) Move(ctx context.Context, back bool) error {
	if h.redis[1] == nil {
		return fmt.Errorf("%w: Also: Move needs a second Redis", ErrOption)
	}
	from, to := h.redis[0], h.redis[1]
	if back {
		from, to = to, from
	}
	for _, p := range h.parts {
		move, err := h.give(ctx, p, from, to)
		if err == nil {
			err = set(ctx, to, p, "open "+move)
		}
		if err != nil {
			return fmt.Errorf("pubsub: move %s: %w", p.channel, err)
		}
		p.second.Store(!back)
	}
	return h.fetchAll(ctx, from, to)
}

// give has a side give up a partition, and returns the number of the move.
func (h *Hub) give(ctx context.Context, p *partition, from, to *server) (move string, err error) {
	had, err := get(ctx, from, p)
	if err != nil {
		return "", err
	}
	there, err := get(ctx, to, p)
	if err != nil {
		return "", err
	}
	if strings.HasPrefix(had, "given ") {
		return moveOf(had), nil // by an earlier call
	}
	n, _ := strconv.Atoi(moveOf(had)) // 0 if it never moved
	m, _ := strconv.Atoi(moveOf(there))
	move = strconv.Itoa(max(n, m) + 1)
	return move, set(ctx, from, p, "given "+move)
}

func get(ctx context.Context, s *server, p *partition) (string, error) {
	return call(ctx, s, s.budget, func(ctx context.Context) (string, error) {
		cmd := redis.NewStringCmd(ctx, "get", p.sideKey())
		if err := s.c.Process(ctx, cmd); err != nil && !errors.Is(err, redis.Nil) {
			return "", err
		}
		return cmd.Val(), nil
	})
}

func set(ctx context.Context, s *server, p *partition, v string) error {
	_, err := call(ctx, s, s.budget, func(ctx context.Context) (any, error) {
		return nil, s.c.Process(ctx, redis.NewStatusCmd(ctx, "set", p.sideKey(), v))
	})
	return err
}

// fetchAll brings over the topics that nobody has used since.
func (h *Hub) fetchAll(ctx context.Context, from, to *server) error {
	prefix := "live:{" + h.opt.Name + "."
	return eachMaster(ctx, from.c, func(ctx context.Context, node redis.Cmdable) error {
		keys := node.Scan(ctx, 0, prefix+"*", 1000).Iterator()
		for keys.Next(ctx) {
			channel, topic, ok := strings.Cut(keys.Val(), ":t:")
			if !ok {
				continue
			}
			for _, p := range h.parts {
				if p.channel != channel {
					continue
				}
				side, err := get(ctx, to, p)
				if err != nil {
					return err
				}
				if _, err := h.fetchTopic(ctx, from, to, p, topic, moveOf(side)); err != nil {
					return fmt.Errorf("pubsub: move a topic of %s: %w", p.channel, err)
				}
			}
		}
		return keys.Err()
	})
}

// eachMaster calls f for every server that has keys of its own.
func eachMaster(ctx context.Context, c redis.UniversalClient, f func(context.Context, redis.Cmdable) error) error {
	switch c := c.(type) {
	case *redis.ClusterClient:
		return c.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error { return f(ctx, node) })
	case interface {
		EachMaster(ctx context.Context, f func(ctx context.Context, addr string, c *redis.Client) error) error
	}:
		return c.EachMaster(ctx, func(ctx context.Context, _ string, node *redis.Client) error { return f(ctx, node) })
	}
	return f(ctx, c)
}
