package control

import (
	"context"
	_ "embed"
	"strconv"

	"github.com/redis/go-redis/v9"
)

//go:embed lock.lua
var lockSource string

var lockScript = redis.NewScript(lockSource)

// A Holder is who has the coordinator's lock on a side. The zero Holder is
// nobody.
type Holder struct {
	ID    string
	Beat  uint64 // grows while it lives
	About string // host, pid and verb, for people
}

// TakeLock takes the lock if nobody has it, or if from has it and has not beaten
// since it was seen so: that one must have been fenced before. It returns who has
// it otherwise.
func (s *Store) TakeLock(ctx context.Context, id string, from Holder, about string) (mine bool, h Holder, err error) {
	return s.lock(ctx, "take", id, from.ID, strconv.FormatUint(from.Beat, 10), about)
}

// RenewLock shows that the coordinator lives. It reports false if the lock has
// gone to another.
func (s *Store) RenewLock(ctx context.Context, id string) (mine bool, h Holder, err error) {
	return s.lock(ctx, "renew", id)
}

// ReleaseLock is a coordinator's goodbye. Not having the lock is no error.
func (s *Store) ReleaseLock(ctx context.Context, id string) error {
	_, _, err := s.lock(ctx, "release", id)
	return err
}

// LockHolder tells who has the lock.
func (s *Store) LockHolder(ctx context.Context) (Holder, error) {
	_, h, err := s.lock(ctx, "look", "")
	return h, err
}

func (s *Store) lock(ctx context.Context, args ...any) (mine bool, h Holder, err error) {
	err = s.node(ctx, func(c *redis.Client) error {
		got, err := lockScript.Run(ctx, c, []string{s.keys.Lock}, args...).StringSlice()
		if err != nil || len(got) == 0 {
			return orMalformed(err)
		}
		if mine = got[0] == "mine"; mine || len(got) < 4 {
			return nil
		}
		h = Holder{ID: got[1], About: got[3]}
		h.Beat, _ = strconv.ParseUint(got[2], 10, 64)
		return nil
	})
	return mine, h, err
}
