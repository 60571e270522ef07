package migrate

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/command"
	"github.com/transload/transload/internal/front"
	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/topology"
)

// closeWithin bounds Close: a side that does not answer cannot be told goodbye,
// and the member is waited out instead.
const closeWithin = 5 * time.Second

var (
	// ErrUnknownCommand means that the table of commands does not know what was
	// sent: a command of a module or of a later server. Its keys cannot be told,
	// so that it cannot be routed.
	ErrUnknownCommand = errors.New("migrate: unknown command")

	// ErrRefused means that a command cannot be sent through a migrating client.
	// The error that wraps it says why and what to do instead.
	ErrRefused = errors.New("migrate: command refused")
)

// A Client is the migrating client: a redis.UniversalClient that sends each
// command to the side that has the authority over its keys. It is safe for
// concurrent use. Make one a process, with Open.
//
// With no target configured, and once a migration is done, it is a plain client
// of the one side that is left. While a target is configured it reads from
// primaries alone, whatever REDIS_READ_FROM says: leases are theirs.
//
// What an app sees of it, beside the results that a plain client would give: a
// command that cannot be routed is ErrRefused or ErrUnknownCommand, keys on two
// sides are ErrSplitAuthority, a write whose lease ended before its reply is
// ErrUnknownOutcome, and waiting for a side ends with ErrNoSide.
type Client struct {
	redis.Cmdable // of a client that never dials: every command comes to a hook

	plain     *topology.Client // with no target; else nil
	m         *member          // with a target; else nil
	front     *redis.Client
	subs      *subscriber
	listeners [3]*topology.Client // for Listen, by side; with a target alone
	mu        sync.Mutex          // guards hooks
	hooks     []redis.Hook
	chain     atomic.Pointer[chain]
	known     scripts
	census    *census
	blocks    blocked
	echo      *echo
	shut      func() error
}

var _ redis.UniversalClient = (*Client)(nil)

// chain is what runs a command: the user's hooks, and the router innermost.
type chain struct {
	process  redis.ProcessHook
	pipeline redis.ProcessPipelineHook
}

// Open checks the options, starts the member and returns. It waits for no
// server: operations wait for the first record that is read, within their own
// deadlines, and Ready waits for it. The context bounds nothing afterwards; only
// its values are kept.
func Open(ctx context.Context, o Options) (*Client, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	if o.Source.Disabled() {
		return nil, fmt.Errorf("%w: Source: %w", ErrOption, topology.ErrDisabled)
	}
	c := &Client{}
	c.front = front.New(frontHook{c})
	c.Cmdable = c.front
	c.chain.Store(c.link())
	if o.Target.Disabled() {
		c.plain, err = openPlain(o)
		if err != nil {
			return nil, fmt.Errorf("migrate: source: %w", err)
		}
		c.shut = sync.OnceValue(c.plain.Close)
		return c, nil
	}
	if c.m, err = newMember(o); err != nil {
		return nil, err
	}
	if err := c.openListeners(); err != nil {
		return nil, err
	}
	c.census = newCensus(c.m.plan)
	c.start(context.WithoutCancel(ctx))
	return c, nil
}

// start runs the member and what the front has running, and makes how to end
// them.
func (c *Client) start(ctx context.Context) {
	run, stop := context.WithCancel(ctx)
	m := c.m
	c.subs = newSubscriber(m)
	c.echo = newEcho(m)
	m.drain.register(func(ctx context.Context) error { return c.blocks.unblock(ctx, m) })
	m.run(run)
	m.wg.Go(func() { c.subs.run(run) })
	m.wg.Go(func() { c.echo.run(run) })
	m.wg.Go(func() { c.tellCensus(run) })
	c.shut = sync.OnceValue(func() error {
		ctx, cancel := context.WithTimeout(ctx, closeWithin)
		defer cancel()
		m.once.Do(func() { close(m.closing) })
		c.tellCensusOnce(ctx)
		stop()
		c.subs.close()
		c.closeListeners()
		m.close(ctx)
		m.wg.Wait()
		return c.front.Close()
	})
}

type frontHook struct{ c *Client }

func (frontHook) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h frontHook) ProcessHook(redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error { return h.c.chain.Load().process(ctx, cmd) }
}

func (h frontHook) ProcessPipelineHook(redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error { return h.c.chain.Load().pipeline(ctx, cmds) }
}

// AddHook adds a hook that sees each command and pipeline once, as the app sends
// it, whichever side it goes to and however often it is tried. Its DialHook is
// not called, and commands inside Watch do not pass it.
func (c *Client) AddHook(h redis.Hook) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hooks = append(c.hooks, h)
	c.chain.Store(c.link())
}

// link makes the chain of the hooks. mu is held.
func (c *Client) link() *chain {
	next := chain{process: c.process, pipeline: c.pipeline}
	for i := len(c.hooks) - 1; i >= 0; i-- {
		if p := c.hooks[i].ProcessHook(next.process); p != nil {
			next.process = p
		}
		if p := c.hooks[i].ProcessPipelineHook(next.pipeline); p != nil {
			next.pipeline = p
		}
	}
	return &next
}

// Ready waits until commands can be sent: a control record was read, and the
// leases that its phase needs are held.
func (c *Client) Ready(ctx context.Context) error {
	if c.m == nil {
		return nil
	}
	p, err := c.m.enter(ctx, nil, false)
	if err != nil {
		return err
	}
	c.m.leave(p, nil)
	return nil
}

// Close says goodbye on both sides, as far as they answer within 5s, and ends
// what runs. It may be called twice.
func (c *Client) Close() error { return c.shut() }

// Do runs any command of which the table knows the keys.
func (c *Client) Do(ctx context.Context, args ...any) *redis.Cmd { return c.front.Do(ctx, args...) }

// Process runs a command.
func (c *Client) Process(ctx context.Context, cmd redis.Cmder) error {
	return c.front.Process(ctx, cmd)
}

// HeedsDeadlines reports that a context's deadline ends an operation, be it parked or
// under way: see topology.Client.HeedsDeadlines.
func (c *Client) HeedsDeadlines() bool { return true }

// PoolStats returns the sum over the pools of both sides as they are now.
func (c *Client) PoolStats() *redis.PoolStats {
	if c.plain != nil {
		return c.plain.PoolStats()
	}
	sum := &redis.PoolStats{}
	v := c.m.view.Load()
	for _, s := range protocol.Sides {
		if p := v.pools[s]; p != nil {
			one := p.client.PoolStats()
			sum.Hits += one.Hits
			sum.Misses += one.Misses
			sum.Timeouts += one.Timeouts
			sum.WaitCount += one.WaitCount
			sum.WaitDurationNs += one.WaitDurationNs
			sum.TotalConns += one.TotalConns
			sum.IdleConns += one.IdleConns
			sum.StaleConns += one.StaleConns
		}
	}
	return sum
}

var errAutoPipeline = fmt.Errorf("%w: auto-pipelining writes to connections past the router: use Pipeline", ErrRefused)

// AutoPipeline is refused: it would write past the router.
func (c *Client) AutoPipeline() (*redis.AutoPipeliner, error) { return nil, errAutoPipeline }

// AutoPipelineWithOptions is refused, as AutoPipeline is.
func (c *Client) AutoPipelineWithOptions(*redis.AutoPipelineOptions) (*redis.AutoPipeliner, error) {
	return nil, errAutoPipeline
}

// AsyncAutoPipeline is refused, as AutoPipeline is.
func (c *Client) AsyncAutoPipeline() (*redis.AutoPipeliner, error) { return nil, errAutoPipeline }

// AsyncAutoPipelineWithOptions is refused, as AutoPipeline is.
func (c *Client) AsyncAutoPipelineWithOptions(*redis.AutoPipelineOptions) (*redis.AutoPipeliner, error) {
	return nil, errAutoPipeline
}

// classOf returns what a call is, or why it cannot go.
func classOf(args []any) (*command.Command, error) {
	k, ok := command.Lookup(args)
	if !ok {
		if len(args) == 0 {
			return nil, fmt.Errorf("%w: it is empty", ErrRefused)
		}
		return nil, fmt.Errorf("%w: %v: its keys cannot be told, so that it cannot be routed; send it with a client of one side", ErrUnknownCommand, args[0])
	}
	if why := k.Refusal(args); why != "" {
		return nil, fmt.Errorf("%w: %s: %s", ErrRefused, k.Name, why)
	}
	return k, nil
}
