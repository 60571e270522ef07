package topology

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/command"
	"github.com/transload/transload/internal/handshake"
	"github.com/transload/transload/internal/lastminute"
)

// metersAtMost bounds the label "node": where servers get a new address with each
// restart, those beyond it are counted together.
const metersAtMost = 100

// What operations are called that have no name of their own in the table.
var (
	otherOperation = &command.Command{Name: "other"}    // handshakes, and what the table does not know
	pipeline       = &command.Command{Name: "pipeline"} // a whole pipeline or transaction
)

// A meter measures the operations that are sent to data servers. Nothing on the
// path of an operation allocates, once its node and its command have been met.
type meter struct {
	began         time.Time
	reads, writes minute
	took          *prometheus.HistogramVec

	mu    sync.Mutex
	nodes map[string]*nodeMeter // by name
}

func newMeter(side string) *meter {
	o := histogramOpts(operationLatency, side, operationBounds)
	return &meter{began: time.Now(), took: prometheus.NewHistogramVec(o, operationLatency.labels), nodes: map[string]*nodeMeter{}}
}

// A minute is what happened in the last one.
type minute struct {
	ops  lastminute.Counter
	took lastminute.Latency
}

// add counts operations that were answered together after d; a negative d is left
// out of the latencies.
func (m *minute) add(ops int64, d time.Duration) {
	m.ops.Add(ops)
	if d >= 0 {
		m.took.Record(d)
	}
}

// p99MS returns the latency in milliseconds that but one of a hundred kept below,
// or nil if nothing was measured.
func (m *minute) p99MS() *float64 {
	w := m.took.Window()
	if w == nil || w.TotalCount() == 0 {
		return nil
	}
	v := float64(w.ValueAtQuantile(99)) / 1e3
	return &v
}

// A nodeMeter measures what is sent to one server.
type nodeMeter struct {
	name          string // its role and address
	reads, writes atomic.Int64
	took          sync.Map // *command.Command → prometheus.Observer: looking a label up costs more than this
}

// node returns the meter of a server.
func (m *meter) node(role Role, addr string) *nodeMeter {
	name := nodeName(role, addr)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.nodes[name] == nil && len(m.nodes) >= metersAtMost {
		name = "other"
	}
	n := m.nodes[name]
	if n == nil {
		n = &nodeMeter{name: name}
		m.nodes[name] = n
	}
	return n
}

// nodeName is the value of the label "node".
func nodeName(role Role, addr string) string {
	if addr == "" {
		addr = "none" // no connection could be made, for want of a primary
	}
	if role == Master {
		return "primary/" + addr
	}
	return "replica/" + addr
}

// all returns the meters of all nodes.
func (m *meter) all() []*nodeMeter {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := make([]*nodeMeter, 0, len(m.nodes))
	for _, n := range m.nodes {
		list = append(list, n)
	}
	return list
}

func (m *meter) observe(n *nodeMeter, c *command.Command, d time.Duration) {
	h, ok := n.took.Load(c)
	if !ok {
		h, _ = n.took.LoadOrStore(c, m.took.WithLabelValues(c.Name, n.name))
	}
	h.(prometheus.Observer).Observe(d.Seconds())
}

// An opKind says what an operation is to the counters.
type opKind uint8

const (
	neither opKind = iota
	reading
	writing
)

// classify looks a command up. Keyed commands are reads or writes, as are those
// that write every key; of the rest only the latency is told.
func classify(args []any) (*command.Command, opKind) {
	c, ok := command.Lookup(args)
	switch {
	case !ok || c.Class == command.Denied:
		return otherOperation, neither
	case c.Write(args):
		return c, writing
	case c.Class == command.Keyed:
		return c, reading
	}
	return c, neither
}

// one counts an operation that took d.
func (m *meter) one(n *nodeMeter, args []any, d time.Duration) {
	c, kind := classify(args)
	m.observe(n, c, d)
	if kind == neither {
		return
	}
	took := d
	if c.Blocking(args) {
		took = -1 // what it waited for is not the server's doing
	}
	m.count(n, kind, 1, took)
}

// count adds operations of a kind to a node and to the minute.
func (m *meter) count(n *nodeMeter, kind opKind, ops int64, took time.Duration) {
	if kind == writing {
		n.writes.Add(ops)
		m.writes.add(ops, took)
		return
	}
	n.reads.Add(ops)
	m.reads.add(ops, took)
}

// many counts a pipeline. Its commands are answered together: it has one latency,
// which is a write's if it holds one.
func (m *meter) many(n *nodeMeter, cmds []redis.Cmder, d time.Duration) {
	var ops [writing + 1]int64
	known := false
	for _, cmd := range cmds {
		c, kind := classify(cmd.Args())
		known = known || c != otherOperation
		ops[kind]++
	}
	if !known {
		m.observe(n, otherOperation, d)
		return
	}
	m.observe(n, pipeline, d)
	if ops[writing] > 0 {
		m.count(n, writing, ops[writing], d)
		d = -1
	}
	if ops[reading] > 0 {
		m.count(n, reading, ops[reading], d)
	}
}

// A meterHook measures what one client sends.
type meterHook struct {
	m    *meter
	node func() *nodeMeter // where the operation that has just ended was sent
}

func (meterHook) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h meterHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		began := time.Now()
		err := next(ctx, cmd)
		if !handshake.Is(cmd) {
			h.m.one(h.node(), cmd.Args(), time.Since(began))
		}
		return err
	}
}

func (h meterHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		began := time.Now()
		err := next(ctx, cmds)
		h.m.many(h.node(), cmds, time.Since(began))
		return err
	}
}

// measure has what rdb sends measured: to a server that does not change. A nil
// meter measures nothing.
func (m *meter) measure(rdb *redis.Client, role Role, addr string) {
	if m == nil {
		return
	}
	n := m.node(role, addr)
	rdb.AddHook(meterHook{m, func() *nodeMeter { return n }})
}

// measurePrimary is measure for a client whose primary changes.
func (m *meter) measurePrimary(rdb *redis.Client, primary func() string) {
	if m == nil {
		return
	}
	type met struct {
		addr string
		node *nodeMeter
	}
	var last atomic.Pointer[met]
	rdb.AddHook(meterHook{m, func() *nodeMeter {
		addr := primary()
		known := last.Load()
		if known == nil || known.addr != addr {
			known = &met{addr, m.node(Master, addr)}
			last.Store(known)
		}
		return known.node
	}})
}
