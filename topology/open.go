package topology

import (
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

const (
	// stateReload is how old a cluster client's map of slots may get: with
	// go-redis's minute, a replaced master was dialled for 60.1 s; with a second
	// the outage was 4.4 s.
	stateReload = time.Second

	// maxIdle is below the 300 s after which the plan's parameter group (and
	// many a managed service) has servers close idle connections.
	maxIdle = 4 * time.Minute
)

// A Client is a redis.UniversalClient that also knows its topology. It is safe
// for concurrent use. Close it when it is no longer used.
type Client struct {
	redis.UniversalClient

	cfg     Config
	dialler *dialler
	events  *events
	reader  *reader // nil: reads go to the primary
	guard   guard
	board   board
	one     *redis.Client        // nil on a cluster
	cluster *redis.ClusterClient // nil elsewhere
	watch   *primaryWatcher      // in mode sentinel, else nil
	nodes   *clusterWatcher      // on a cluster, else nil
	meter   *meter               // nil: operations are not measured

	refused  refusals // of writes
	closing  sync.Once
	closed   atomic.Bool
	closeErr error // of the closing
}

// Open validates cfg and builds a client. It dials nothing: connections are made
// when commands need them, and errors of servers are errors of commands.
func Open(cfg Config, opts ...Option) (*Client, error) {
	if err := cfg.Validate(); err != nil {
		if cfg.Disabled() {
			return nil, err
		}
		return nil, fmt.Errorf("topology: open: %w", err)
	}
	s, err := newSettings(opts)
	if err != nil {
		return nil, err
	}
	library.take(s.logger)
	cfg = cfg.withDefaults()
	c := &Client{cfg: cfg, dialler: cfg.newDialler(), events: newEvents(s)}
	c.board.post(snapshot{})
	if s.measured {
		c.meter = newMeter(s.side)
	}
	switch cfg.Mode {
	case Standalone:
		c.one = c.node(cfg.Addrs[0], s)
		c.one.AddHook(newPlainWatch(cfg.Addrs[0], c.events))
		c.heed(c.one, func() string { return cfg.Addrs[0] }, func(error) {})
		c.meter.measure(c.one, Master, cfg.Addrs[0])
	case Sentinel:
		c.one = c.failover(s)
	case Cluster:
		c.cluster = c.openCluster(s)
		c.UniversalClient = c.cluster
	}
	if c.one != nil {
		c.UniversalClient = c.one
	}
	if c.cfg.Reader.From == ReadReplica && !s.noReplicas {
		c.reader = newReader(c, s)
		c.UniversalClient = newReadingClient(c, c.reader)
	}
	c.addGuard(s)
	return c, nil
}

// Close closes all connections. It waits for what watches the servers. Closing
// again does nothing, and returns what the first time did.
func (c *Client) Close() error {
	c.closing.Do(func() {
		c.closed.Store(true)
		c.closeErr = c.close()
	})
	return c.closeErr
}

func (c *Client) close() error {
	if c.watch != nil {
		c.watch.close()
	}
	if c.nodes != nil {
		c.nodes.close()
	}
	err := c.UniversalClient.Close()
	c.events.close()
	return err
}

// Mode returns the mode that was told.
func (c *Client) Mode() Mode { return c.cfg.Mode }

// Config returns the settings, with defaults filled in.
func (c *Client) Config() Config { return c.cfg.withDefaults() }

// String describes the client without its secrets.
func (c *Client) String() string { return c.cfg.String() }

// GoString is String for the verb %#v.
func (c *Client) GoString() string { return "*topology.Client{" + c.cfg.String() + "}" }

// LogValue describes the client for package slog, without its secrets.
func (c *Client) LogValue() slog.Value { return c.cfg.LogValue() }

// HeedsDeadlines reports that a context's deadline ends the wait for a reply, for
// those who ask any client (packages ratelimit and sessions): go-redis's own do only
// if they are told to.
func (c *Client) HeedsDeadlines() bool { return true }

// retries is Retries as go-redis's options have it.
func (c *Client) retries(s settings) int {
	if s.noRetries {
		return -1
	}
	return c.cfg.Retries
}

// node builds a plain client to one data server.
func (c *Client) node(addr string, s settings) *redis.Client {
	rdb := redis.NewClient(c.nodeOptions(addr, s))
	addHooks(rdb, s)
	return rdb
}

// nodeOptions is what connections to one data server are like.
func (c *Client) nodeOptions(addr string, s settings) *redis.Options {
	return &redis.Options{
		Addr:       addr,
		ClientName: s.name,
		Dialer:     c.dialler.dial,
		OnConnect:  s.onConnect,
		Username:   c.cfg.Username,
		Password:   string(c.cfg.Password),
		DB:         c.cfg.DB,
		MaxRetries: c.retries(s),

		DialTimeout:           c.cfg.DialTimeout,
		DialerRetries:         1, // the command's own retries dial again
		ReadTimeout:           c.cfg.ReadTimeout,
		ContextTimeoutEnabled: true,

		PoolSize:         c.cfg.PoolSize,
		PipelinePoolSize: -1,
		ConnMaxIdleTime:  maxIdle,

		DisableIdentity:          true,
		MaintNotificationsConfig: quiet(),
	}
}

// failover builds a client that follows the primary.
func (c *Client) failover(s settings) *redis.Client {
	c.watch = newPrimaryWatcher(c, s.name)
	o := c.nodeOptions(c.cfg.SentinelMaster, s) // a name: the dialler knows where it leads
	o.Dialer, o.OnConnect = c.watch.dial, c.watch.check(s.onConnect)
	rdb := redis.NewClient(o)
	addHooks(rdb, s)
	primary := func() string { addr, _ := c.watch.primary(); return addr }
	c.heed(rdb, primary, c.watch.doubt)
	c.meter.measurePrimary(rdb, primary)
	return rdb
}

// openCluster builds a client that knows which node owns which slot.
func (c *Client) openCluster(s settings) *redis.ClusterClient {
	c.nodes = newClusterWatcher(c, s.name)
	rdb := redis.NewClusterClient(&redis.ClusterOptions{
		Addrs:        c.cfg.Addrs,
		ClientName:   s.name,
		Dialer:       c.nodes.dial,
		OnConnect:    s.onConnect,
		Username:     c.cfg.Username,
		Password:     string(c.cfg.Password),
		MaxRedirects: c.retries(s),

		DialTimeout:           c.cfg.DialTimeout,
		DialerRetries:         1,
		ReadTimeout:           c.cfg.ReadTimeout,
		ContextTimeoutEnabled: true,

		PoolSize:         c.cfg.PoolSize,
		PipelinePoolSize: -1,
		ConnMaxIdleTime:  maxIdle,

		ClusterStateReloadInterval: stateReload,
		DisableIdentity:            true,
		MaintNotificationsConfig:   quiet(),
	})
	rdb.OnNewNode(func(node *redis.Client) {
		addr := node.Options().Addr
		addHooks(node, s)
		c.heed(node, func() string { return addr }, c.nodes.doubt(addr))
		c.meter.measure(node, Master, addr)
	})
	rdb.AddHook(namelessHook{rdb})
	return rdb
}

// addHooks adds what options ask for. The wrapper goes last, which is innermost,
// so that the hooks of WithHook see wrapped connections.
func addHooks(rdb *redis.Client, s settings) {
	rdb.AddHook(unsentHook{})
	for _, f := range s.clients {
		f(rdb)
	}
	for _, h := range s.hooks {
		rdb.AddHook(h)
	}
	if s.wrap != nil {
		rdb.AddHook(wrapHook{s.wrap})
	}
}

// quiet turns maintenance notifications off; each client needs its own.
func quiet() *maintnotifications.Config {
	return &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
}

var _ redis.UniversalClient = (*Client)(nil)
