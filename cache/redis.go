package cache

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/breaker"
	"github.com/transload/transload/internal/budget"
)

const workload = "cache"

// Keys begin with these. The first two are those whose changes matter to who holds
// entries in memory, and none begins with another.
const (
	entryPrefix = "cache:{"
	tagPrefix   = "cache:tag:"
	lockPrefix  = "cache:fill:"
	geoPrefix   = "cache:geo:"
)

// tagLife is how long a tag is kept that no entry asks for. One that is gone is a
// miss for its entries.
const tagLife = time.Hour

func entryKey(name, id string) string { return entryPrefix + name + ":" + id + "}" }
func tagKey(tag string) string        { return tagPrefix + "{" + tag + "}" }

// lockKey is the key of the right to fill an entry. It is in the entry's slot.
func lockKey(key string) string { return lockPrefix + key[len(entryPrefix)-1:] }

// A client is what is needed of a redis.UniversalClient.
type client interface {
	redis.Scripter
	Process(ctx context.Context, cmd redis.Cmder) error
	Pipelined(ctx context.Context, f func(redis.Pipeliner) error) ([]redis.Cmder, error)
}

// errReply means that a script's reply is not of its form.
var errReply = errors.New("malformed reply: does something else write the keys cache:?")

// A server is Redis.
type server struct {
	c       client
	budget  *budget.Budget
	breaker *breaker.Breaker
	outages *outages
	ahead   atomic.Int64 // how far the server's clock is ahead of ours, in ms
}

// open reports whether Redis is not asked, since it did not answer.
func (s *server) open() bool { return s.breaker.States()[0].State != "closed" }

// now is the server's time in ms, as far as is known.
func (s *server) now() int64 { return time.Now().UnixMilli() + s.ahead.Load() }

// call runs f within the budget. Whatever keeps it from an answer is ErrUnavailable,
// unless ctx itself is over.
func call[T any](ctx context.Context, s *server, f func(context.Context) (T, error)) (v T, err error) {
	err = s.breaker.Do(ctx, workload, func() (err error) {
		v, err = budget.Do(ctx, s.budget, f)
		return err
	})
	if err == nil {
		s.outages.answered()
		return v, nil
	}
	if ctx.Err() != nil {
		return v, context.Cause(ctx)
	}
	s.outages.failed(s.open())
	return v, fmt.Errorf("%w: %w", ErrUnavailable, err)
}

// run runs a script.
func (s *server) run(ctx context.Context, script *redis.Script, keys []string, args ...any) (any, error) {
	return call(ctx, s, func(ctx context.Context) (any, error) {
		return script.Run(ctx, s.c, keys, args...).Result()
	})
}

// get reads an entry; nil is none.
func (s *server) get(ctx context.Context, key string) ([]byte, error) {
	return call(ctx, s, func(ctx context.Context) ([]byte, error) {
		cmd := redis.NewStringCmd(ctx, "get", key)
		_ = s.c.Process(ctx, cmd) // it is in the command
		return bytesOf(cmd)
	})
}

// bytesOf returns what GET found; of a key that is no string, nothing.
func bytesOf(cmd *redis.StringCmd) ([]byte, error) {
	raw, err := cmd.Bytes()
	if errors.Is(err, redis.Nil) || err != nil && redis.HasErrorPrefix(err, "WRONGTYPE") {
		return nil, nil
	}
	return raw, err
}

// pipelined sends a command for each of a list, and returns the replies.
func pipelined[T any, C interface{ Result() (T, error) }](ctx context.Context, s *server, list []string, add func(redis.Pipeliner, string) C) ([]T, error) {
	if len(list) == 0 {
		return nil, nil
	}
	return call(ctx, s, func(ctx context.Context) ([]T, error) {
		cmds := make([]C, len(list))
		_, err := s.c.Pipelined(ctx, func(p redis.Pipeliner) error {
			for i, x := range list {
				cmds[i] = add(p, x)
			}
			return nil
		})
		_ = err // each command has its own
		out := make([]T, len(list))
		for i, cmd := range cmds {
			if out[i], err = cmd.Result(); err != nil && !errors.Is(err, redis.Nil) {
				return nil, err
			}
		}
		return out, nil
	})
}

// A reading is an entry and the versions that its tags have.
type reading struct {
	raw  []byte
	tags []int64
}

// read reads an entry and its tags.
func (s *server) read(ctx context.Context, key string, tags []string) (reading, error) {
	if len(tags) == 0 {
		raw, err := s.get(ctx, key)
		return reading{raw: raw}, err
	}
	return call(ctx, s, func(ctx context.Context) (r reading, err error) {
		var entry *redis.StringCmd
		versions := make([]*redis.StringCmd, len(tags))
		_, err = s.c.Pipelined(ctx, func(p redis.Pipeliner) error {
			entry = p.Get(ctx, key)
			for i, tag := range tags {
				versions[i] = p.Get(ctx, tagKey(tag))
			}
			return nil
		})
		_ = err // each command has its own
		if r.raw, err = bytesOf(entry); err != nil {
			return r, err
		}
		r.tags = make([]int64, len(tags))
		for i, cmd := range versions {
			if r.tags[i], err = cmd.Int64(); err != nil && !errors.Is(err, redis.Nil) {
				return r, err
			}
		}
		return r, nil
	})
}

// readAll reads entries without tags.
func (s *server) readAll(ctx context.Context, keys []string) ([][]byte, error) {
	return pipelined(ctx, s, keys, func(p redis.Pipeliner, key string) entryCmd {
		return entryCmd{p.Get(ctx, key)}
	})
}

// An entryCmd is a GET of an entry.
type entryCmd struct{ *redis.StringCmd }

// Result is what bytesOf says.
func (c entryCmd) Result() ([]byte, error) { return bytesOf(c.StringCmd) }

// A claimed is how the right to fill stands.
type claimed uint8

const (
	others   claimed = iota // somebody else has it
	ours                    // we have it
	needless                // there is an entry
)

// claim asks for the right to fill an entry.
func (s *server) claim(ctx context.Context, key, token, refused string, lease time.Duration) (claimed, []byte, error) {
	reply, err := s.run(ctx, claimScript, []string{key, lockKey(key)}, token, lease.Milliseconds(), refused)
	if err != nil {
		return others, nil, err
	}
	list, ok := reply.([]any)
	if !ok || len(list) < 2 {
		return others, nil, fmt.Errorf("%w: claim: %w", ErrUnavailable, errReply)
	}
	s.noteTime(list[0])
	switch state := list[1]; {
	case state == int64(1):
		return ours, nil, nil
	case state == int64(2) && len(list) == 3:
		raw, _ := list[2].(string)
		return needless, []byte(raw), nil
	}
	return others, nil, nil
}

// fill stores an entry under a right that was claimed with its token, and reports
// whether the right still held. It sets the entry's stamp.
func (s *server) fill(ctx context.Context, key string, e *entry, life time.Duration) (bool, error) {
	head, body := e.encode()
	reply, err := s.run(ctx, fillScript, []string{key, lockKey(key)}, e.token, head, body, life.Milliseconds())
	if err != nil {
		return false, err
	}
	list, ok := reply.([]any)
	if !ok || len(list) != 2 {
		return false, fmt.Errorf("%w: fill: %w", ErrUnavailable, errReply)
	}
	e.stamp = s.noteTime(list[0])
	return list[1] == int64(1), nil
}

// release gives the right to fill back. Where Redis does not answer, it ends with its
// lease.
func (s *server) release(ctx context.Context, key, token string) {
	_, _ = s.run(ctx, releaseScript, []string{lockKey(key)}, token)
}

// invalidate puts a tombstone.
func (s *server) invalidate(ctx context.Context, key string, life time.Duration) error {
	gone := entry{kind: kindGone, token: newToken()}
	head, _ := gone.encode()
	now, err := s.run(ctx, invalidateScript, []string{key, lockKey(key)}, head, life.Milliseconds())
	if err == nil {
		s.noteTime(now)
	}
	return err
}

// restore puts back what Redis has lost, and reports whether it is there.
func (s *server) restore(ctx context.Context, key string, raw []byte, life time.Duration) (bool, error) {
	reply, err := s.run(ctx, restoreScript, []string{key, lockKey(key)}, raw, life.Milliseconds())
	return reply == int64(1), err
}

// stand returns the versions at which tags stand, for entries that live that long.
func (s *server) stand(ctx context.Context, tags []string, life time.Duration) ([]int64, error) {
	versions := make([]int64, len(tags))
	for i, tag := range tags {
		reply, err := s.run(ctx, standScript, []string{tagKey(tag)}, (life + slack).Milliseconds())
		if err != nil {
			return nil, err
		}
		text, _ := reply.(string)
		if versions[i], err = strconv.ParseInt(text, 10, 64); err != nil {
			return nil, fmt.Errorf("%w: tag: %w", ErrUnavailable, errReply)
		}
	}
	return versions, nil
}

// bump raises the version of a tag.
func (s *server) bump(ctx context.Context, tag string) error {
	_, err := s.run(ctx, bumpScript, []string{tagKey(tag)}, tagLife.Milliseconds())
	return err
}

// noteTime learns the server's clock from a reply. Times of the way there are small
// beside what is counted with it.
func (s *server) noteTime(reply any) int64 {
	ms, ok := reply.(int64)
	if ok {
		s.ahead.Store(ms - time.Now().UnixMilli())
	}
	return ms
}
