package cache

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// bounds of the loader's time, in seconds.
var bounds = []float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5}

// A meter counts. Its labels are names that the app's code gives, and words of ours.
type meter struct {
	requests, loads, fenced, restored, rejected *prometheus.CounterVec
	seconds                                     *prometheus.HistogramVec
	invalidations                               byResult
	all                                         []prometheus.Collector
}

// A kindMeter is that of one cache.
type kindMeter struct {
	requests                               byResult
	loads                                  byResult
	fenced, restored, oversized, undecoded prometheus.Counter
	seconds                                prometheus.Observer
}

// byResult counts what ended how.
type byResult map[string]prometheus.Counter

func newMeter(s *Store) *meter {
	m := &meter{}
	vec := func(name, help string, labels ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "transload_cache_" + name, Help: help}, labels)
		m.all = append(m.all, v)
		return v
	}
	m.requests = vec("requests_total", "Values asked for, by where the answer was found.", "cache", "result")
	m.loads = vec("loads_total", "Calls of loaders, and those that were shed.", "cache", "result")
	m.fenced = vec("fenced_total", "Values that were loaded but not kept: they were invalidated meanwhile.", "cache")
	m.restored = vec("restored_total", "Values that Redis had lost and memory had.", "cache")
	m.rejected = vec("rejected_total", "Values that were not kept, or not read.", "cache", "reason")
	m.seconds = prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "transload_cache_load_seconds",
		Help: "Time that loaders took.", Buckets: bounds}, []string{"cache"})
	m.invalidations = make(byResult)
	invalidations := vec("invalidations_total", "Invalidations, of ids and of tags.", "result")
	for _, r := range []string{"ok", "unavailable"} {
		m.invalidations[r] = invalidations.WithLabelValues(r)
	}
	m.all = append(m.all, m.seconds)
	m.gauges(s)
	return m
}

func (m *meter) gauges(s *Store) {
	gauge := func(name, help string, f func() float64) {
		m.all = append(m.all, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "transload_cache_" + name, Help: help}, f))
	}
	gauge("breaker_open", "1 while Redis is not asked, since it did not answer.", func() float64 { return one(s.redis.open()) })
	gauge("tracked", "1 while servers tell of changes, so that memory needs not ask.", func() float64 { return one(s.memory.tracked()) })
	gauge("waiting_invalidations", "Invalidations that Redis has not heard of.", func() float64 { return float64(s.pending.len()) })
	gauge("loads_inflight", "Loads under way with the guard.", func() float64 { return float64(s.opt.Guard.underway()) })
	gauge("loads_allowed", "Loads that may begin in a second now.", func() float64 { return float64(s.opt.Guard.allowed()) })
	gauge("remembered", "Entries in memory.", func() float64 { n, _ := s.memory.figures(); return float64(n) })
	gauge("remembered_bytes", "Memory that they take.", func() float64 { _, n := s.memory.figures(); return float64(n) })
}

func one(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// of makes the counters of a cache.
func (m *meter) of(name string) *kindMeter {
	k := &kindMeter{requests: byResult{}, loads: byResult{}, seconds: m.seconds.WithLabelValues(name),
		fenced: m.fenced.WithLabelValues(name), restored: m.restored.WithLabelValues(name),
		oversized: m.rejected.WithLabelValues(name, "size"), undecoded: m.rejected.WithLabelValues(name, "codec")}
	for _, r := range []string{"memory", "redis", "loader", "stale", "shed", "failed"} {
		k.requests[r] = m.requests.WithLabelValues(name, r)
	}
	for _, r := range []string{"ok", "absent", "shed", "failed"} {
		k.loads[r] = m.loads.WithLabelValues(name, r)
	}
	return k
}

// answered returns the counter of an answer.
func (b byResult) answered(a answer, err error) prometheus.Counter {
	switch {
	case errors.Is(err, ErrShed):
		return b["shed"]
	case err != nil:
		return b["failed"]
	case a.meta.Stale:
		return b["stale"]
	}
	return b[a.meta.Source.String()]
}

// loaded returns the counter of a load.
func (b byResult) loaded(err error) prometheus.Counter {
	switch {
	case err == nil:
		return b["ok"]
	case errors.Is(err, ErrNotFound):
		return b["absent"]
	case errors.Is(err, ErrShed):
		return b["shed"]
	}
	return b["failed"]
}

// told returns the counter of an invalidation.
func (b byResult) told(err error) prometheus.Counter {
	if err == nil {
		return b["ok"]
	}
	return b["unavailable"]
}

// Metrics returns a collector of what the Store sees, for the app's own registry. All
// begin with transload_cache_; docs/cache.md lists them. Collecting asks no server.
func (s *Store) Metrics() prometheus.Collector { return s.meter }

// Describe implements prometheus.Collector.
func (m *meter) Describe(ch chan<- *prometheus.Desc) {
	for _, c := range m.all {
		c.Describe(ch)
	}
}

// Collect implements prometheus.Collector.
func (m *meter) Collect(ch chan<- prometheus.Metric) {
	for _, c := range m.all {
		c.Collect(ch)
	}
}
