package redisproc

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// startLimit bounds a start whose caller set no deadline. A Cluster on a busy
// machine with two cores has taken ten seconds.
const startLimit = 60 * time.Second

// permanent marks an error that asking again will not mend.
type permanent struct{ error }

// poll calls f until it returns nil, pausing in between. When ctx ends it returns
// the last error too: that says what was waited for.
func poll(ctx context.Context, pause time.Duration, f func() error) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		err := f()
		if err == nil {
			return nil
		}
		if p, ok := errors.AsType[permanent](err); ok {
			return p.error
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w, last: %w", context.Cause(ctx), err)
		case <-tick.C:
		}
	}
}
