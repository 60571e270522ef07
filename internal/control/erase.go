package control

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/protocol"
)

//go:embed erase.lua
var eraseSource string

var eraseScript = redis.NewScript(eraseSource)

// ErrMeanwhile means that a record has changed, or a member has come back, since
// it was decided to erase what a migration keeps. Nothing was erased.
var ErrMeanwhile = errors.New("control: it has changed meanwhile")

// A Sight is when a member was last seen on a side. The zero Sight is never.
type Sight struct {
	ID  string
	At  time.Time     // by the server's clock
	Age time.Duration // by the server's clock, when it was asked
}

// LastSeen tells which member refreshed last, and when. A goodbye does not undo
// that. It is for those who want to erase what the migration keeps: whether a
// member lives is told by its beat alone.
func (s *Store) LastSeen(ctx context.Context) (last Sight, err error) {
	err = s.node(ctx, func(c *redis.Client) error {
		p := c.Pipeline()
		seen, now := p.HGetAll(ctx, s.keys.Seen), p.Time(ctx)
		if _, err := p.Exec(ctx); err != nil {
			return err
		}
		sec, err := strconv.ParseInt(seen.Val()["at"], 10, 64)
		if err != nil {
			return nil // no member has refreshed since this is kept
		}
		at := time.Unix(sec, 0).UTC()
		last = Sight{ID: seen.Val()["id"], At: at, Age: max(0, now.Val().Sub(at))}
		return nil
	})
	return last, err
}

// Erase removes everything that the migration keeps on this side but for the
// lock, which lock must hold, and more, which must share the tag of its keys. The
// record and the roll must be as they were read, else it is ErrMeanwhile. It
// returns how many keys are gone.
func (s *Store) Erase(ctx context.Context, lock string, rec protocol.Record, roll []protocol.Entry, more ...string) (n int64, err error) {
	k := s.keys
	keys := append([]string{k.Control, k.Lock, k.Roll, k.Events, k.Identity, k.Census, k.Requests, k.Seen}, more...)
	text := ""
	if !rec.Empty() {
		text = rec.Encode()
	}
	args := []any{lock, text}
	for _, e := range roll {
		args = append(args, e.ID, strconv.FormatUint(e.Beat, 10))
	}
	err = s.node(ctx, func(c *redis.Client) error {
		got, err := eraseScript.Run(ctx, c, keys, args...).StringSlice()
		if err != nil || len(got) == 0 {
			return orMalformed(err)
		}
		switch got[0] {
		case "done":
			n, err = strconv.ParseInt(got[1], 10, 64)
			return err
		case "lock":
			return ErrReplaced
		}
		return fmt.Errorf("%w: the %s", ErrMeanwhile, got[0])
	})
	return n, err
}
