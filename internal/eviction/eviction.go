// Package eviction tells whether a server may drop keys that it should keep.
package eviction

import (
	"context"
	"strings"

	"github.com/redis/go-redis/v9"
)

// None is the one policy under which a server drops no key that has not expired.
const None = "noeviction"

// Policy returns the maxmemory-policy of a server, or of one of several; nothing if
// it does not tell. It is read from INFO: CONFIG is often forbidden.
func Policy(ctx context.Context, c interface {
	Process(ctx context.Context, cmd redis.Cmder) error
}) (string, error) {
	cmd := redis.NewStringCmd(ctx, "info", "memory")
	if err := c.Process(ctx, cmd); err != nil {
		return "", err
	}
	for line := range strings.Lines(cmd.Val()) {
		if name, value, _ := strings.Cut(strings.TrimSpace(line), ":"); name == "maxmemory_policy" {
			return value, nil
		}
	}
	return "", nil
}
