package coordinator

import (
	"context"
	"errors"
	"fmt"

	"github.com/transload/transload/internal/protocol"
)

// Shadow begins the migration if it has not begun, and keeps the sides equal
// until ctx is done, the migration is done, or it has been rolled back to off.
// Other processes hand their verbs to it. It returns ctx's cause.
func (c *Coordinator) Shadow(ctx context.Context) error {
	return c.leading(ctx, "shadow", func(ctx context.Context, t *term) error {
		if err := t.load(ctx, true); err != nil {
			return err
		}
		t.keep(ctx)
		if err := t.waitObeyed(ctx); err != nil {
			return err
		}
		if err := t.waitPassed(ctx); err != nil {
			return err
		}
		c.report("shadow", "the sides are equal and kept so")
		return t.serve(ctx)
	})
}

// leading runs a verb as the coordinator, and says goodbye afterwards.
func (c *Coordinator) leading(ctx context.Context, verb string, f func(context.Context, *term) error) error {
	c.verb.Lock()
	defer c.verb.Unlock()
	within, t, err := c.lead(ctx, verb)
	if err != nil {
		return err
	}
	defer t.quit(ctx)
	c.mu.Lock()
	c.term = t
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		c.term = nil
		c.mu.Unlock()
	}()
	err = f(within, t)
	if cause := context.Cause(within); cause != nil && ctx.Err() == nil && !errors.Is(err, cause) {
		err = errors.Join(cause, err) // it was replaced, which explains whatever else went wrong
	}
	return err
}

// serve waits for the end of the migration, of ctx or of the term.
func (t *term) serve(ctx context.Context) error {
	for pause(ctx, lookEvery) {
		if p := t.known().phase(); p == protocol.Done || p == protocol.Off {
			t.c.report("shadow", "the migration is %v", p)
			return nil
		}
	}
	return fmt.Errorf("coordinator: shadow: %w", context.Cause(ctx))
}
