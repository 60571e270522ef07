package topology

import (
	"context"
	"errors"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/front"
)

// A readingClient is the client of a reader: its commands pass the reader, and
// what belongs to one connection goes to the primary.
type readingClient struct {
	redis.UniversalClient // commands: a front, or the cluster's client with the reader's hook

	primary redis.UniversalClient
	r       *reader
}

// newReadingClient puts a reader before the clients of the primaries.
func newReadingClient(c *Client, r *reader) *readingClient {
	if c.cluster != nil {
		c.cluster.AddHook(readHook{r: r})
		return &readingClient{UniversalClient: c.cluster, primary: c.cluster, r: r}
	}
	return &readingClient{UniversalClient: front.New(readHook{r, c.one}), primary: c.one, r: r}
}

// AddHook adds a hook that sees each command once, as it is sent, whichever node
// it goes to. Its DialHook is not called, and commands inside Watch do not pass it.
func (c *readingClient) AddHook(h redis.Hook) { c.r.addHook(h) }

// Watch runs on the primary, reads included.
func (c *readingClient) Watch(ctx context.Context, fn func(*redis.Tx) error, keys ...string) error {
	return c.primary.Watch(ctx, func(tx *redis.Tx) error {
		tx.AddHook(ownHook{c.r.own})
		return fn(tx)
	}, keys...)
}

// An ownHook notes what a transaction writes.
type ownHook struct{ own *ownWrites }

func (ownHook) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h ownHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		return h.own.during(func() error { return next(ctx, cmd) }, cmd)
	}
}

func (h ownHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		return h.own.during(func() error { return next(ctx, cmds) }, front.Bare(cmds)...)
	}
}

func (c *readingClient) Subscribe(ctx context.Context, channels ...string) *redis.PubSub {
	return c.primary.Subscribe(ctx, channels...)
}

func (c *readingClient) PSubscribe(ctx context.Context, patterns ...string) *redis.PubSub {
	return c.primary.PSubscribe(ctx, patterns...)
}

func (c *readingClient) SSubscribe(ctx context.Context, channels ...string) *redis.PubSub {
	return c.primary.SSubscribe(ctx, channels...)
}

// Close ends the reads first.
func (c *readingClient) Close() error {
	c.r.close()
	return c.primary.Close()
}

// PoolStats returns the sum over all pools.
func (c *readingClient) PoolStats() *redis.PoolStats {
	sum := *c.primary.PoolStats()
	c.r.addPools(&sum)
	return &sum
}

var errReadingPipe = errors.New("topology: auto-pipelining writes to connections past what sends reads to replicas: use Pipeline, or read from the primary")

func (c *readingClient) AutoPipeline() (*redis.AutoPipeliner, error) { return nil, errReadingPipe }

func (c *readingClient) AutoPipelineWithOptions(*redis.AutoPipelineOptions) (*redis.AutoPipeliner, error) {
	return nil, errReadingPipe
}

func (c *readingClient) AsyncAutoPipeline() (*redis.AutoPipeliner, error) { return nil, errReadingPipe }

func (c *readingClient) AsyncAutoPipelineWithOptions(*redis.AutoPipelineOptions) (*redis.AutoPipeliner, error) {
	return nil, errReadingPipe
}
