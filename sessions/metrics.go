package sessions

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// An op is what a Manager is asked to do, as the label "op" has it.
type op uint8

const (
	opLoad op = iota
	opStart
	opRotate
	opSave
	opLogout
	opRevoke
	opRevokeUser
	opList
	opProbe
	ops
)

var opNames = [ops]string{"load", "start", "rotate", "save", "logout", "revoke", "revoke_user", "list", "probe"}

// A from is where a request's session was found, as the label "from" has it.
type from uint8

const (
	fromRedis from = iota
	fromMemory
	fromFallback
	fromEnvelope
	fromNobody  // certainly none
	fromNowhere // nobody can say
	froms
)

var fromNames = [froms]string{"redis", "memory", "fallback", "envelope", "anonymous", "unavailable"}

// results are what an operation ends with, as the label "result" has it.
var results = []struct {
	name string
	err  error
}{
	{"not_found", ErrNotFound},
	{"conflict", ErrConflict},
	{"unavailable", ErrUnavailable},
	{"refused", nil}, // by us: too large, a bad user
}

// bounds of latencies, in seconds: from a tenth of a millisecond, which a server on
// the same machine takes, to more than a login's budget.
var bounds = []float64{0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5}

// A meter counts. Every label is made beforehand: none holds what users send.
type meter struct {
	m           *Manager
	sources     [froms]prometheus.Counter
	ended       [ops]map[string]prometheus.Counter
	seconds     [ops]prometheus.Observer
	unconfirmed [ops]prometheus.Counter
	restored    prometheus.Counter
	evicted     prometheus.Counter
	fallbackErr prometheus.Counter
	all         []prometheus.Collector
}

func newMeter(m *Manager) *meter {
	k := &meter{m: m}
	labels := prometheus.Labels{"manager": m.opt.Name}
	vec := func(name, help string, label ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "transload_sessions_" + name, Help: help, ConstLabels: labels}, label)
		k.all = append(k.all, v)
		return v
	}
	found := vec("found_total", "Requests, by where their session was found.", "from")
	for i, name := range fromNames {
		k.sources[i] = found.WithLabelValues(name)
	}
	ended := vec("operations_total", "Operations, by how they ended.", "op", "result")
	unconfirmed := vec("unconfirmed_total", "Logins and logouts that no replica has confirmed.", "op")
	seconds := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "transload_sessions_seconds",
		Help: "Time that operations took.", ConstLabels: labels, Buckets: bounds}, []string{"op"})
	for i, name := range opNames {
		k.seconds[i] = seconds.WithLabelValues(name)
		k.ended[i] = map[string]prometheus.Counter{"ok": ended.WithLabelValues(name, "ok")}
		for _, r := range results {
			k.ended[i][r.name] = ended.WithLabelValues(name, r.name)
		}
	}
	for _, o := range []op{opStart, opRotate, opLogout} {
		k.unconfirmed[o] = unconfirmed.WithLabelValues(opNames[o])
	}
	k.restored = vec("restored_total", "Sessions that Redis had lost and the fall-back had.").WithLabelValues()
	k.evicted = vec("evicted_total", "Sessions revoked since their user had too many.").WithLabelValues()
	k.fallbackErr = vec("fallback_errors_total", "Calls of the fall-back that failed.").WithLabelValues()
	k.all = append(k.all, seconds, k.gauge(labels, "breaker_open", "1 while Redis is not asked, since it did not answer.", func() float64 {
		if m.redis.open() {
			return 1
		}
		return 0
	}), k.gauge(labels, "remembered", "Sessions that are remembered for an outage.", func() float64 {
		n, _ := m.memory.figures()
		return float64(n)
	}), k.gauge(labels, "remembered_bytes", "Memory that they take.", func() float64 {
		_, bytes := m.memory.figures()
		return float64(bytes)
	}), k.gauge(labels, "waiting_revocations", "Revocations that Redis has not heard of.", func() float64 {
		return float64(m.queue.n.Load())
	}))
	return k
}

func (k *meter) gauge(labels prometheus.Labels, name, help string, f func() float64) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "transload_sessions_" + name, Help: help, ConstLabels: labels}, f)
}

func (k *meter) found(f from) { k.sources[f].Inc() }

func (k *meter) took(o op, began time.Time) { k.seconds[o].Observe(time.Since(began).Seconds()) }

// done is deferred with the error that an operation will return.
func (k *meter) done(o op, began time.Time, err *error) {
	k.took(o, began)
	k.ended[o][resultOf(*err)].Inc()
}

func resultOf(err error) string {
	if err == nil {
		return "ok"
	}
	for _, r := range results {
		if r.err != nil && errors.Is(err, r.err) {
			return r.name
		}
	}
	return "refused"
}

// Metrics returns a collector of what the Manager sees, for the app's own registry.
// All begin with transload_sessions_; docs/sessions.md lists them. Collecting asks no
// server.
func (m *Manager) Metrics() prometheus.Collector { return m.meter }

// Describe implements prometheus.Collector.
func (k *meter) Describe(ch chan<- *prometheus.Desc) {
	for _, c := range k.all {
		c.Describe(ch)
	}
}

// Collect implements prometheus.Collector.
func (k *meter) Collect(ch chan<- prometheus.Metric) {
	for _, c := range k.all {
		c.Collect(ch)
	}
}
