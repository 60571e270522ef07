package cache

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/transload/transload/internal/feed"
	"github.com/transload/transload/topology"
)

const (
	// vouchEach is how often the servers are asked whether there is no more to tell, and
	// vouchFor how long their word is believed: it bounds the age of what is answered
	// from memory when the connection that tells of changes has died without a word.
	vouchEach = 500 * time.Millisecond
	vouchFor  = 2 * time.Second

	// trackAgain is how long a server without tracking is left alone: it may be another
	// one by then.
	trackAgain = time.Minute
)

// sideOf returns the servers behind a client, so that they can tell of changes; nil if
// what is in memory would not be right all the same, or they cannot be known.
func sideOf(c redis.UniversalClient) feed.Side {
	switch c := c.(type) {
	case *topology.Client:
		if c.Config().Reader.From == topology.ReadReplica {
			return nil // a replica answers with what was there before the change that was told
		}
		return c
	case *redis.Client:
		return single{c}
	case *redis.ClusterClient:
		if o := c.Options(); o.ReadOnly || o.RouteByLatency || o.RouteRandomly || o.ClusterSlots != nil {
			return nil
		}
		return cluster{c}
	}
	return nil
}

// A single is the server, or the primary, of one of go-redis's own clients.
type single struct{ c *redis.Client }

func (s single) Masters(context.Context) ([]topology.Node, error) {
	return []topology.Node{{Addr: s.c.Options().Addr, Role: topology.Master, Slots: []topology.SlotRange{{From: 0, To: 16383}}}}, nil
}

func (s single) Node(string, ...topology.Option) (*redis.Client, error) {
	return bare(*s.c.Options()), nil
}

// bare is a client of which only the settings are used.
func bare(o redis.Options) *redis.Client {
	o.MinIdleConns, o.OnConnect, o.PushNotificationProcessor = 0, nil, nil
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return redis.NewClient(&o)
}

// A cluster is that of one of go-redis's own clients.
type cluster struct{ c *redis.ClusterClient }

func (s cluster) Masters(ctx context.Context) ([]topology.Node, error) {
	ranges, err := s.c.ClusterSlots(ctx).Result() //nolint:staticcheck // ClusterShards is not there before Redis 7
	if err != nil {
		return nil, err
	}
	var nodes []topology.Node
	at := map[string]int{}
	for _, r := range ranges {
		if len(r.Nodes) == 0 {
			continue
		}
		master := r.Nodes[0]
		i, ok := at[master.Addr]
		if !ok {
			i = len(nodes)
			at[master.Addr] = i
			nodes = append(nodes, topology.Node{Addr: master.Addr, ID: master.ID, Role: topology.Master})
		}
		nodes[i].Slots = append(nodes[i].Slots, topology.SlotRange{From: uint16(r.Start), To: uint16(r.End)})
	}
	return nodes, nil
}

func (s cluster) Node(addr string, _ ...topology.Option) (*redis.Client, error) {
	o := s.c.Options()
	return bare(redis.Options{Addr: addr, Username: o.Username, Password: o.Password,
		CredentialsProvider: o.CredentialsProvider, CredentialsProviderContext: o.CredentialsProviderContext,
		ClientName: o.ClientName, Dialer: o.Dialer, DialTimeout: o.DialTimeout, TLSConfig: o.TLSConfig}), nil
}

// track has the servers tell of changes until ctx is over.
func (s *Store) track(ctx context.Context, side feed.Side) {
	for ctx.Err() == nil {
		f := feed.New(side, s.memory, feed.WithPrefixes(entryPrefix, tagPrefix), feed.WithInterval(vouchEach),
			feed.WithSilence(vouchFor), feed.WithName("transload-cache"), feed.WithGaps(s.gap))
		own, stop := context.WithCancel(ctx)
		ended := make(chan struct{})
		go func() { defer close(ended); s.vouch(own, f) }() // ends with Run
		err := f.Run(ctx)
		stop()
		<-ended
		if ctx.Err() == nil {
			s.opt.Logger.Info("no server tells of changes: memory is believed for a short time only",
				"workload", workload, "op", "track", "for", s.opt.MemoryAge, "err", err)
		}
		_ = sleep(ctx, trackAgain)
	}
}

// gap drops what is in memory when somebody has emptied Redis. Of a server that has
// gone, nobody knows that.
func (s *Store) gap(g feed.Gap) {
	if errors.Is(g.Err, feed.ErrFlushed) {
		s.memory.forget()
	}
}

// vouch asks again and again whether all changes were told.
func (s *Store) vouch(ctx context.Context, f *feed.Feed) {
	for ctx.Err() == nil {
		era, asked := s.memory.era.Load(), s.memory.clock()
		within, cancel := context.WithTimeout(ctx, vouchFor)
		err := f.Watermark(within)
		cancel()
		wait := vouchEach
		if err == nil {
			s.memory.vouch(era, asked+int64(vouchFor))
		} else {
			wait /= 10
		}
		_ = sleep(ctx, wait)
	}
}
