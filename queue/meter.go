package queue

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// bounds of latencies, in seconds: from a tenth of a millisecond, which a server on
// the same machine takes, to a job of ten minutes.
var bounds = []float64{0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 600}

// A meter counts what one process does. No label holds what users send.
type meter struct {
	enqueues, runs, puts    *prometheus.CounterVec
	enqueueTime             prometheus.Observer
	runTime                 *prometheus.HistogramVec
	dequeueErrors           prometheus.Counter
	acksHeld, acksLate      prometheus.Counter
	unsettled               func() int
	aside                   prometheus.Counter
	back, orphans, archived prometheus.Counter
	all                     []prometheus.Collector
}

func newMeter() *meter {
	k := &meter{unsettled: func() int { return 0 }}
	vec := func(name, help string, label ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "transload_queue_" + name, Help: help}, label)
		k.all = append(k.all, v)
		return v
	}
	k.enqueues = vec("enqueued_total", "Jobs that were enqueued, by what became of them.", "queue", "result")
	k.runs = vec("runs_total", "Runs of jobs, by how they ended.", "queue", "job", "result")
	k.dequeueErrors = vec("dequeue_errors_total", "Times that Redis did not answer to who asked for a job.").WithLabelValues()
	k.acksHeld = vec("acks_held_total", "Tries to acknowledge a job to which Redis did not answer.").WithLabelValues()
	k.acksLate = vec("acks_late_total", "Acknowledgements of jobs that were not where they were left.").WithLabelValues()
	k.aside = vec("aside_total", "Jobs of an outbox that cannot be enqueued, and were put aside.").WithLabelValues()
	k.puts = vec("swept_total", "Jobs whose worker was gone, by what became of them.", "result")
	k.back, k.orphans, k.archived = k.puts.WithLabelValues("back"), k.puts.WithLabelValues("leased"), k.puts.WithLabelValues("archived")
	enqueueTime := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "transload_queue_enqueue_seconds", Help: "Time that enqueuing took, a batch being one.", Buckets: bounds})
	k.enqueueTime = enqueueTime
	k.runTime = prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "transload_queue_run_seconds", Help: "Time that runs of jobs took.", Buckets: bounds}, []string{"queue", "job"})
	unsettled := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "transload_queue_unsettled", Help: "Jobs that were finished and that Redis does not know of yet."},
		func() float64 { return float64(k.unsettled()) })
	k.all = append(k.all, enqueueTime, k.runTime, unsettled)
	return k
}

func (k *meter) enqueued(entries []*entry, began time.Time) {
	k.enqueueTime.Observe(time.Since(began).Seconds())
	var counts [Stored + 1]float64
	for _, e := range entries {
		counts[e.state]++
	}
	for state, n := range counts {
		if n > 0 {
			k.enqueues.WithLabelValues(entries[0].queue, stateNames[state]).Add(n)
		}
	}
}

func (k *meter) ran(m Meta, began time.Time, err error) {
	name := m.Name
	if errors.Is(err, errNoHandler) {
		name = "" // anybody may invent names
	}
	k.runTime.WithLabelValues(m.Queue, name).Observe(time.Since(began).Seconds())
	k.runs.WithLabelValues(m.Queue, name, resultOf(err)).Inc()
}

func resultOf(err error) string {
	switch v, ok := errors.AsType[*verdict](err); {
	case err == nil:
		return "ok"
	case ok && v.permanent:
		return "permanent"
	case errors.Is(err, errNoHandler):
		return "no_handler"
	case errors.Is(err, ErrBusy):
		return "busy"
	case errors.Is(err, ErrPayload):
		return "payload"
	}
	return "error"
}

func (k *meter) swept(back, orphans, archived int64) {
	k.back.Add(float64(back))
	k.orphans.Add(float64(orphans))
	k.archived.Add(float64(archived))
}

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

// Metrics returns a collector of what this client does, for the app's own registry.
// Collecting asks no server. All begin with transload_queue_; docs/queue.md lists
// them.
func (c *Client) Metrics() prometheus.Collector { return c.meter }

// Metrics is the same for a server. One registry takes either one client's and one
// server's under different labels, or those of one of them: wrap them with
// prometheus.WrapRegistererWith.
func (s *Server) Metrics() prometheus.Collector { return s.meter }
