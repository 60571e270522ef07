package pubsub

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// results are what a publish ends with, as the label "result" has it.
var results = []struct {
	name string
	err  error
}{
	{"unavailable", ErrUnavailable},
	{"too_large", ErrTooLarge},
	{"full", ErrFull},
	{"refused", nil}, // a bad name, a value that is no JSON
}

// bounds of latencies, in seconds: from half a millisecond to more than a failover.
var bounds = []float64{0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10}

// A meter counts. Every label is made beforehand: none holds what users send.
type meter struct {
	published   map[string]prometheus.Counter
	seconds     prometheus.Observer
	delay       prometheus.Observer
	replicas    [2]prometheus.Counter
	retries     prometheus.Counter
	fates       [fates]prometheus.Counter
	foreign     prometheus.Counter
	loads       prometheus.Counter
	failedLoads prometheus.Counter
	reconnects  prometheus.Counter
	silences    prometheus.Counter
	lostProbes  prometheus.Counter
	lostEchoes  prometheus.Counter
	gaps        prometheus.Counter
	snapshots   prometheus.Counter
	sent        prometheus.Counter
	sentBytes   prometheus.Counter
	refused     map[string]prometheus.Counter
	closed      map[string]prometheus.Counter
	all         []prometheus.Collector
}

func newMeter(h *Hub) *meter {
	k := &meter{published: map[string]prometheus.Counter{}, refused: map[string]prometheus.Counter{}, closed: map[string]prometheus.Counter{}}
	labels := prometheus.Labels{"hub": h.opt.Name}
	vec := func(name, help string, label ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "transload_pubsub_" + name, Help: help, ConstLabels: labels}, label)
		k.all = append(k.all, v)
		return v
	}
	one := func(name, help string) prometheus.Counter { return vec(name, help).WithLabelValues() }
	histogram := func(name, help string) prometheus.Observer {
		v := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "transload_pubsub_" + name, Help: help, ConstLabels: labels, Buckets: bounds})
		k.all = append(k.all, v)
		return v
	}
	gauge := func(name, help string, f func() float64) {
		k.all = append(k.all, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "transload_pubsub_" + name, Help: help, ConstLabels: labels}, f))
	}
	ended := vec("published_total", "Publishes, by how they ended.", "result")
	k.published["ok"] = ended.WithLabelValues("ok")
	for _, r := range results {
		k.published[r.name] = ended.WithLabelValues(r.name)
	}
	k.seconds = histogram("publish_seconds", "Time that publishes took.")
	k.delay = histogram("delay_seconds", "Time from publishing to hearing, by the clocks of server and process.")
	confirmed := vec("confirmations_total", "Publishes to topics with Confirm, by whether a replica has confirmed.", "confirmed")
	k.replicas = [2]prometheus.Counter{confirmed.WithLabelValues("no"), confirmed.WithLabelValues("yes")}
	k.retries = one("publish_retries_total", "Tries of publishes that had no answer.")
	heard := vec("heard_total", "Messages heard of topics that are followed, by what became of them.", "fate")
	for i, name := range fateNames {
		k.fates[i] = heard.WithLabelValues(name)
	}
	k.foreign = one("foreign_frames_total", "What was heard on the Hub's channels and is not its own.")
	k.loads = one("resyncs_total", "Topics that were read from Redis.")
	k.failedLoads = one("resync_errors_total", "Topics that could not be read from Redis.")
	k.reconnects = one("reconnects_total", "Subscriptions that were made anew.")
	k.silences = one("silences_total", "Partitions of which nothing was heard for longer than Options.Silence.")
	k.lostProbes = one("lost_probes_total", "Probes that could not be published.")
	k.lostEchoes = one("lost_echoes_total", "Messages that could not be published on the other side of a migration too.")
	k.gaps = one("gaps_total", "Gaps that sockets were told of.")
	k.snapshots = one("snapshots_total", "Snapshots that sockets were sent.")
	k.sent = one("sent_total", "Messages written to sockets.")
	k.sentBytes = one("sent_bytes_total", "Bytes written to sockets.")
	refused := vec("refused_total", "Requests for a socket that were refused.", "reason")
	for _, r := range refusals {
		k.refused[r] = refused.WithLabelValues(r)
	}
	closed := vec("closed_total", "Sockets that have ended.", "reason")
	for _, e := range endings {
		k.closed[e.name] = closed.WithLabelValues(e.name)
	}
	gauge("clients", "Sockets that are open.", func() float64 { return float64(h.sockets()) })
	gauge("topics", "Topics that are followed.", func() float64 { return float64(h.followed()) })
	gauge("degraded", "1 while some partition that is followed is not heard.", func() float64 {
		if h.Health().Degraded {
			return 1
		}
		return 0
	})
	gauge("age_seconds", "Age of what is known of the partition that was not heard of for longest.", func() float64 { return h.Health().Age.Seconds() })
	gauge("breaker_open", "1 while Redis is not asked, since it did not answer.", func() float64 {
		for _, s := range h.redis {
			if s != nil && s.breaker.States()[0].State != "closed" {
				return 1
			}
		}
		return 0
	})
	return k
}

func (k *meter) publishedIn(began time.Time, err error) {
	k.seconds.Observe(time.Since(began).Seconds())
	k.published[resultOf(err)].Inc()
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

func (k *meter) confirmed(yes bool) {
	if yes {
		k.replicas[1].Inc()
	} else {
		k.replicas[0].Inc()
	}
}

// Metrics returns a collector of what the Hub sees, for the app's own registry. All
// begin with transload_pubsub_; docs/pubsub.md lists them. Collecting asks no server.
func (h *Hub) Metrics() prometheus.Collector { return h.meter }

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
