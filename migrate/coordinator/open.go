package coordinator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/transload/transload/internal/control"
	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/topology"
)

// A Coordinator looks at one migration, and leads it while a verb needs that.
// It is safe for concurrent use, but verbs that lead are taken one at a time.
type Coordinator struct {
	opts  Options
	log   *slog.Logger
	sides [3]*side // by protocol.Side; for looking

	verb chan struct{} // 1: held by the verb that leads

	mu   sync.Mutex
	term *term // while a verb leads
}

// A side is one of the two Redis as a coordinator talks to it.
type side struct {
	protocol.Side
	client *topology.Client
	store  *control.Store
	caps   Capabilities
}

// Open checks the options and opens clients for both sides. It dials nothing.
func Open(o Options) (*Coordinator, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	c := &Coordinator{opts: o, log: o.Logger, verb: make(chan struct{}, 1)}
	name := control.ClientName(o.Name, "observer-"+control.ProcessID())
	for _, s := range protocol.Sides {
		client, err := topology.Open(c.config(s), topology.WithName(name), topology.WithLogger(o.Logger), topology.WithoutReplicas())
		if err != nil {
			return nil, errors.Join(fmt.Errorf("coordinator: %v: %w", s, err), c.Close())
		}
		c.sides[s] = &side{Side: s, client: client, store: control.New(client, o.Name, s)}
	}
	return c, nil
}

// Close gives the connections back. A verb that is under way fails.
func (c *Coordinator) Close() error {
	var err error
	for _, sd := range c.sides {
		if sd != nil {
			err = errors.Join(err, sd.close())
		}
	}
	return err
}

func (sd *side) close() error {
	sd.store.Close()
	return sd.client.Close()
}

func (c *Coordinator) config(s protocol.Side) topology.Config {
	if s == protocol.Target {
		return c.opts.Target
	}
	return c.opts.Source
}

// asTold refuses servers of another mode than was told, before anything is
// written: a lone master that takes keys of every slot could pass for a cluster,
// and its replicas or fellow masters would be missed. What else is wrong with a
// side comes out by itself.
func asTold(ctx context.Context, sides [3]*side) error {
	for _, s := range protocol.Sides {
		if sides[s] == nil {
			continue
		}
		if m, ok := errors.AsType[*topology.ModeError](sides[s].client.CheckMode(ctx)); ok {
			return fmt.Errorf("coordinator: %v: %w", s, m)
		}
	}
	return nil
}

// probe learns what the sides that are given can do. It may be called again.
func probeAll(ctx context.Context, sides [3]*side) error {
	for _, s := range protocol.Sides {
		if sides[s] == nil {
			continue
		}
		caps, err := probe(ctx, sides[s].client)
		if err != nil {
			return fmt.Errorf("coordinator: %v: %w", s, err)
		}
		sides[s].caps = caps
	}
	return nil
}

// report tells people how a verb goes on.
func (c *Coordinator) report(stage, format string, args ...any) {
	c.tell(Progress{Stage: stage, Text: fmt.Sprintf(format, args...)})
}

// tell tells the caller, and the process that asked for what runs.
func (c *Coordinator) tell(p Progress) {
	c.opts.Progress(p)
	c.mu.Lock()
	t := c.term
	c.mu.Unlock()
	if t != nil {
		t.desk.progress(p)
	}
}
