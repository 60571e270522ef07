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
		if err := t.waitPassed(ctx, 0); err != nil {
			return err
		}
		t.sayEqual()
		return t.stay(ctx)
	})
}

// sayEqual says how things are once a pass has ended.
func (t *term) sayEqual() {
	p := Progress{Stage: "shadow", Text: "the sides are equal and kept so", Phase: t.known().phase().String(), Equal: true}
	if loss := t.loss(); loss != "" {
		p.Text, p.Equal = loss+"; nothing moves until that is settled: see `migrate status`", false
	}
	t.c.tell(p)
}

// stay waits for the end of the migration, of ctx or of the term.
func (t *term) stay(ctx context.Context) error {
	said := t.loss()
	for pause(ctx, lookEvery) {
		loss := t.loss()
		if loss != said && loss != "" {
			t.sayEqual()
		}
		said = loss
		if p := t.known().phase(); (p == protocol.Done || p == protocol.Off) && !t.desk.busy() {
			t.c.tell(Progress{Stage: "shadow", Text: fmt.Sprintf("the migration is %v", p), Phase: p.String()})
			return nil
		}
	}
	return fmt.Errorf("coordinator: shadow: %w", context.Cause(ctx))
}

// leading runs f as the coordinator, of both sides or of one alone. What other processes have asked for is let
// end, and goodbye is said, before it returns.
func (c *Coordinator) leading(ctx context.Context, verb string, f func(context.Context, *term) error, on ...protocol.Side) error {
	select {
	case c.verb <- struct{}{}:
		defer func() { <-c.verb }()
	case <-ctx.Done():
		return fmt.Errorf("coordinator: wait for another verb of this process: %w", context.Cause(ctx))
	}
	within, t, err := c.lead(ctx, verb, on...)
	if err != nil {
		return err
	}
	defer t.quit(ctx)
	c.setTerm(t)
	defer c.setTerm(nil)
	err = f(within, t)
	for t.desk.busy() && pause(within, requestEvery) {
	}
	if cause := context.Cause(within); cause != nil && ctx.Err() == nil && !errors.Is(err, cause) {
		err = errors.Join(cause, err) // it was replaced, which explains whatever else went wrong
	}
	return err
}

func (c *Coordinator) setTerm(t *term) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.term = t
}

// perform runs a verb: as the coordinator, after it has prepared itself for that,
// or by handing it to the one that runs.
func perform[A, R any](ctx context.Context, c *Coordinator, verb string, args A,
	prepare func(*term, context.Context) error, f func(*term, context.Context, A) (R, error)) (res R, err error) {
	err = c.leading(ctx, verb, func(ctx context.Context, t *term) error {
		if err := prepare(t, ctx); err != nil {
			return err
		}
		return t.desk.do(ctx, newJob(verb, ""), func(ctx context.Context) error {
			res, err = f(t, ctx, args)
			return err
		})
	})
	if errors.Is(err, ErrRunning) {
		c.report(verb, "handed to the coordinator that runs")
		return follow[R](ctx, c, verb, args)
	}
	return res, err
}
