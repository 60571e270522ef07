package control

import (
	"context"
	_ "embed"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/protocol"
)

//go:embed strike.lua
var strikeSource string

var strikeScript = redis.NewScript(strikeSource)

// StrikeFenced takes a member off the roll that was fenced after it had fallen
// silent, if it has not come back since: e is its line as it was seen then. It
// reports whether the member is off the roll. Strike would take off one that has
// just got a new lease, and a move would not wait for it.
func (s *Store) StrikeFenced(ctx context.Context, e protocol.Entry) (gone bool, err error) {
	err = s.node(ctx, func(c *redis.Client) error {
		gone, err = strikeScript.Run(ctx, c, []string{s.keys.Roll, s.keys.Census}, e.ID, strconv.FormatUint(e.Beat, 10)).Bool()
		return err
	})
	return gone, err
}
