package drill

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/topology"
)

// A Refusal says why something is not begun, and what to do about it. Nothing has
// been changed.
type Refusal struct {
	Gate   string // what is in the way
	Figure string // how far
	Next   string // what to do
}

// Error says what is in the way.
func (r *Refusal) Error() string { return fmt.Sprintf("drill: %s: %s", r.Gate, r.Figure) }

// A HandoverError is a planned failover that was begun and did not come to its
// end. State says in which state that leaves the servers.
type HandoverError struct {
	Step  string
	State string
	Err   error
}

// Error says which step failed, and in which state things are.
func (e *HandoverError) Error() string {
	return fmt.Sprintf("drill: planned failover: %s: %v; %s", e.Step, e.Err, e.State)
}

// Unwrap returns what went wrong.
func (e *HandoverError) Unwrap() error { return e.Err }

// Interrupted is the error of a drill or a planned failover whose context ended.
// State says in which state that leaves the servers.
type Interrupted struct {
	State string
	Err   error // the context's cause
}

// Error says in which state things are.
func (i *Interrupted) Error() string { return "interrupted: " + i.State }

// Unwrap returns the context's cause.
func (i *Interrupted) Unwrap() error { return i.Err }

// A Step is one of a planned failover.
type Step struct {
	Name string  `json:"step"`
	MS   float64 `json:"ms"` // when it was done, after the beginning
}

// A Handover is a planned failover: the primary's work moves to a replica, and no
// acknowledged write is lost.
type Handover struct {
	// Promote is the address of the replica that is to be promoted. The default is
	// whichever the sentinels choose, and in a cluster a replica of the first
	// shard.
	Promote string

	// Plain leaves out all that keeps writes from being lost, to show what that
	// is for. Never use it on servers that matter. The default is false.
	Plain bool

	// Results.
	Old, New string    // addresses
	Began    time.Time // of the first step that changes something
	Steps    []Step

	client *topology.Client
	sent   bool  // the servers were told to begin: there is no way back
	left   error // what could not be put back

	seen func(step string) // hears of each step that is done; nil for nobody
}

const (
	// handoverLimit bounds what comes after the promotion: the sentinels tell each
	// other within seconds, and the old primary copies what it lacks.
	handoverLimit = 20 * time.Second

	// cleanLimit bounds the steps that put things back after a failure.
	cleanLimit = 2 * time.Second

	// soon is the pause between two looks inside a pause of writes.
	soon = 2 * time.Millisecond
)

// Check looks at all that may be in the way, and changes nothing. Its error is
// that of Run.
func (h *Handover) Check(ctx context.Context, client *topology.Client) error {
	try := &Handover{Promote: h.Promote, client: client}
	return try.interrupted(ctx, try.look(ctx))
}

func (h *Handover) look(ctx context.Context) error {
	if err := h.client.CheckMode(ctx); err != nil {
		return err
	}
	switch h.client.Mode() {
	case topology.Sentinel:
		r := &relay{Handover: h, peers: map[string]*redis.Client{}}
		defer r.close()
		return r.prepare(ctx)
	case topology.Cluster:
		nodes, err := h.client.Nodes(ctx)
		if err == nil {
			_, _, err = h.pick(nodes)
		}
		return err
	}
	return errAlone()
}

// Run moves the primary. client is only used to find the servers; the caller
// closes it. The error is a Refusal if nothing was begun, and a HandoverError if
// it was. Once the servers were told to begin, the end of ctx does not stop it:
// it comes to its end, within bounds of its own, and returns Interrupted then.
func (h *Handover) Run(ctx context.Context, client *topology.Client) error {
	h.client = client
	return h.interrupted(ctx, h.move(ctx))
}

func (h *Handover) move(ctx context.Context) error {
	switch h.client.Mode() {
	case topology.Sentinel:
		return h.sentinel(ctx)
	case topology.Cluster:
		return h.cluster(ctx)
	}
	return errAlone()
}

// interrupted turns what came of a move whose context has ended into an error
// that says so, and who is the primary now.
func (h *Handover) interrupted(ctx context.Context, err error) error {
	half, ok := errors.AsType[*HandoverError](err)
	var state string
	switch {
	case ctx.Err() == nil || h.sent && err != nil:
		return err // begun and not brought to its end: that is the news
	case h.sent:
		state = fmt.Sprintf("the failover was brought to its end: %s is the primary and takes writes, %s follows it", h.New, h.Old)
	case ok:
		state = half.State
	default:
		state = "nothing has changed"
	}
	if h.left != nil {
		state += "; " + h.left.Error()
	}
	return &Interrupted{state, context.Cause(ctx)}
}

func errAlone() error {
	return &Refusal{"mode", "a standalone server has nobody to hand over to",
		"name the sentinels or the cluster's nodes in REDIS_SENTINELS or REDIS_CLUSTER_NODES; " +
			"a managed service has a command of its own: give it beside migrate drill --wait"}
}

// did notes that a step is done.
func (h *Handover) did(step string) {
	h.Steps = append(h.Steps, Step{step, ms(time.Since(h.Began))})
	if h.seen != nil {
		h.seen(step)
	}
}

// cluster moves a shard's primary. CLUSTER FAILOVER does by itself what sentinels
// leave out: the primary holds its writes until the replica has them all.
func (h *Handover) cluster(ctx context.Context) error {
	nodes, err := h.client.Nodes(ctx)
	if err != nil {
		return err
	}
	replica, primary, err := h.pick(nodes)
	if err != nil {
		return err
	}
	rdb, err := h.client.Node(replica)
	if err != nil {
		return err
	}
	defer rdb.Close()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	ctx = context.WithoutCancel(ctx) // from here to the end: see Run
	h.Old, h.New, h.Began = primary, replica, time.Now()
	if err := rdb.ClusterFailover(ctx).Err(); err != nil {
		return fmt.Errorf("drill: planned failover: CLUSTER FAILOVER at %s: %w", replica, err)
	}
	h.sent = true
	h.did("CLUSTER FAILOVER")
	err = poll(ctx, handoverLimit, soon, func() error { return is(ctx, rdb, topology.Master) })
	if err != nil {
		return &HandoverError{"wait for the promotion", "writes go on at " + primary + "; the cluster gives a failover up by itself after five seconds", err}
	}
	h.did("promoted")
	old, err := h.client.Node(primary)
	if err != nil {
		return err
	}
	defer old.Close()
	if err := poll(ctx, handoverLimit, probeEvery, func() error { return is(ctx, old, topology.Replica) }); err != nil {
		return &HandoverError{"wait for the old primary to follow", replica + " is the primary; " + primary + " does not follow it yet", err}
	}
	h.did("old primary follows")
	return nil
}

// pick chooses the replica of a cluster that is to be promoted.
func (h *Handover) pick(nodes []topology.Node) (replica, primary string, err error) {
	for _, n := range nodes {
		if n.Role != topology.Replica || n.Down || len(n.Slots) == 0 || h.Promote != "" && n.Addr != h.Promote {
			continue
		}
		for _, m := range nodes {
			if m.Role == topology.Master && len(m.Slots) > 0 && m.Slots[0] == n.Slots[0] {
				return n.Addr, m.Addr, nil
			}
		}
	}
	if h.Promote != "" {
		return "", "", &Refusal{"replica", h.Promote + " is no replica that is up", "name one that CLUSTER NODES lists as a replica"}
	}
	return "", "", &Refusal{"replica", "no primary has a replica that is up", "start the replicas, or add some"}
}

// is returns nil if a server has that role.
func is(ctx context.Context, rdb *redis.Client, want topology.Role) error {
	role, err := askRole(ctx, rdb)
	if err == nil && role != want {
		err = fmt.Errorf("%s says %s", rdb.Options().Addr, role)
	}
	return err
}

// poll calls f until it returns nil, or with its last error when limit is over.
func poll(ctx context.Context, limit, pause time.Duration, f func() error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not within %v", limit))
	defer cancel()
	for {
		err := f()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		case <-time.After(pause):
		}
	}
}
