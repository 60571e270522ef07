package feed

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/transload/transload/topology"
)

// Waits between attempts to reach a master again.
const (
	firstWait = 20 * time.Millisecond
	longWait  = 2 * time.Second
)

// A tracker follows one master.
type tracker struct {
	feed    *Feed
	addr    string
	slots   []topology.SlotRange
	cluster bool
	stop    context.CancelFunc // set before run

	// Guarded by the feed's mutex.
	conn    *conn // nil while the master is not followed
	trouble error // why it is not
}

// run keeps a connection until ctx is done or the server turns out to have no
// tracking.
func (t *tracker) run(ctx context.Context) error {
	wait := firstWait
	for {
		began := time.Now()
		err := t.follow(ctx)
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		t.feed.mu.Lock()
		t.trouble = err
		t.feed.mu.Unlock()
		t.feed.down(t, err)
		if ctx.Err() != nil || errors.Is(err, ErrNoTracking) {
			return err
		}
		if time.Since(began) > longWait {
			wait = firstWait
		}
		select {
		case <-time.After(wait):
			wait = min(2*wait, longWait)
		case <-ctx.Done():
		}
	}
}

// follow connects and stays until the connection ends.
func (t *tracker) follow(ctx context.Context) error {
	client, err := t.feed.side.Node(t.addr, topology.WithName(t.feed.name))
	if err != nil {
		return err
	}
	defer client.Close()
	c, err := dial(ctx, client.Options(), t.cluster, t.feed.prefixes, reader{
		names:      func(names []string) { t.feed.dirty.Add(names...) },
		everything: func() { t.feed.flushed(t) },
	})
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	ended := make(chan error, 1)
	wg.Go(func() { ended <- c.serve() })
	if !t.feed.up(t, c) {
		return c.fail(context.Canceled)
	}
	return t.watch(ctx, c, ended)
}

// watch asks the master now and then whether it still is what it was.
func (t *tracker) watch(ctx context.Context, c *conn, ended <-chan error) error {
	ticker := time.NewTicker(t.feed.interval)
	defer ticker.Stop()
	for {
		select {
		case err := <-ended:
			return err
		case <-ctx.Done():
			return c.fail(context.Cause(ctx))
		case <-ticker.C:
		}
		ask, cancel := context.WithTimeoutCause(ctx, t.feed.silence, errSilent)
		err := c.watermark(ask)
		cancel()
		if _, refused := errors.AsType[replyError](err); err != nil && !refused {
			return c.fail(err)
		}
	}
}
