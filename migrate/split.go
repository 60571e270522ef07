package migrate

import (
	"context"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/command"
	"github.com/transload/transload/internal/protocol"
)

// split runs a command whose keys lie on two sides as one command a side, where
// that is the same: MGET, EXISTS, TOUCH, DEL, UNLINK. Each part is a command of
// its own, as on a cluster: another client may see one done and the other not.
func (c *Client) split(ctx context.Context, cmd redis.Cmder, k *command.Command, keys []string, units []unit) error {
	if !k.Split || !mergeable(cmd, k) {
		return c.m.splitError(k.Name, units)
	}
	parts := c.m.divide(k.Write(cmd.Args()), units)
	if len(parts) < 2 {
		return c.keyed(ctx, cmd, k, keys, units) // they are together again
	}
	var sum int64
	list := make([]any, len(keys))
	for _, part := range parts {
		args, partUnits := []any{k.Name}, make([]unit, len(part))
		partKeys := make([]string, len(part))
		for i, at := range part {
			args = append(args, keys[at])
			partKeys[i], partUnits[i] = keys[at], units[at]
		}
		if k.Name == "mget" {
			sub := redis.NewSliceCmd(ctx, args...)
			if err := c.keyed(ctx, sub, k, partKeys, partUnits); err != nil {
				return err
			}
			for i, val := range sub.Val() {
				list[part[i]] = val
			}
			continue
		}
		sub := redis.NewIntCmd(ctx, args...)
		if err := c.keyed(ctx, sub, k, partKeys, partUnits); err != nil {
			return err
		}
		sum += sub.Val()
	}
	cmd.SetErr(nil)
	if k.Name == "mget" {
		setSlice(cmd, list)
	} else {
		setInt(cmd, sum)
	}
	return nil
}

// divide sorts the positions of units by the side that serves them now; those
// that nobody serves now are a part of their own, which waits.
func (m *member) divide(write bool, units []unit) [][]int {
	v := m.view.Load()
	var by [3][]int
	for i, u := range units {
		s, _ := v.serve(u, write)
		by[s] = append(by[s], i)
	}
	var parts [][]int
	for _, s := range []protocol.Side{protocol.Source, protocol.Target, protocol.None} {
		if len(by[s]) > 0 {
			parts = append(parts, by[s])
		}
	}
	return parts
}

// mergeable reports whether a merged reply can be put into cmd.
func mergeable(cmd redis.Cmder, k *command.Command) bool {
	switch cmd.(type) {
	case *redis.Cmd:
		return true
	case *redis.SliceCmd:
		return k.Name == "mget"
	case *redis.IntCmd:
		return k.Name != "mget"
	}
	return false
}

// setInt puts a number into a command as its reply.
func setInt(cmd redis.Cmder, n int64) bool {
	switch cmd := cmd.(type) {
	case *redis.Cmd:
		cmd.SetVal(n)
	case *redis.IntCmd:
		cmd.SetVal(n)
	default:
		return false
	}
	return true
}

// setSlice puts a list into a command as its reply.
func setSlice(cmd redis.Cmder, list []any) bool {
	switch cmd := cmd.(type) {
	case *redis.Cmd:
		cmd.SetVal(list)
	case *redis.SliceCmd:
		cmd.SetVal(list)
	default:
		return false
	}
	return true
}

// A shaped command is sent with other arguments than the caller gave; the reply
// is read into the caller's own.
type shaped struct {
	redis.Cmder
	args []any
}

func (s shaped) Args() []any { return s.args }
