package queue

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/singleflight"
)

const (
	// figuresFor is how long figures are good: two Prometheus servers, and somebody
	// who looks, cost Redis no more than one.
	figuresFor = 5 * time.Second

	// collectFor bounds the wait for Redis.
	collectFor = 3 * time.Second
)

// desc names a metric as asynq's own exporter does, so that dashboards go on.
func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("asynq_"+name, help, labels, nil)
}

var (
	descTasks     = desc("tasks_enqueued_total", "Jobs in a queue, by state.", "queue", "state")
	descSize      = desc("queue_size", "Jobs in a queue.", "queue")
	descLatency   = desc("queue_latency_seconds", "How long the oldest pending job has waited.", "queue")
	descMemory    = desc("queue_memory_usage_approx_bytes", "Memory of a queue's jobs, by a sample.", "queue")
	descProcessed = desc("tasks_processed_total", "Runs of jobs that have ended, failures included.", "queue")
	descFailed    = desc("tasks_failed_total", "Runs of jobs that have failed.", "queue")
	descPaused    = desc("queue_paused_total", "1 if a queue is paused.", "queue")
)

// A figuresCollector asks Redis for all queues.
type figuresCollector struct {
	c *Client

	flight singleflight.Group // one asks at a time
	last   atomic.Pointer[look]
}

// A look is what Redis said, and when.
type look struct {
	at    time.Time
	infos []Info
	err   error
}

// Figures returns a collector of the state of every queue, with the metric names of
// asynq's own exporter. One process's registry is enough. Each look costs Redis two
// round trips, whatever the number of jobs, and no more than one look in 5s.
func (c *Client) Figures() prometheus.Collector { return &figuresCollector{c: c} }

// Describe implements prometheus.Collector.
func (f *figuresCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descTasks, descSize, descLatency, descMemory, descProcessed, descFailed, descPaused} {
		ch <- d
	}
}

// Collect implements prometheus.Collector. While Redis does not answer there are no
// figures: old ones would be taken for new.
func (f *figuresCollector) Collect(ch chan<- prometheus.Metric) {
	infos, err := f.look()
	if err != nil {
		f.c.opt.Logger.Warn("there are no figures of queues: redis does not answer", "workload", workload, "op", "collect", "err", err)
		return
	}
	for _, q := range infos {
		gauge := func(d *prometheus.Desc, v float64, labels ...string) {
			ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, append([]string{q.Name}, labels...)...)
		}
		for state, n := range map[Stage]int64{Pending: q.Pending, Active: q.Active, Scheduled: q.Scheduled, Retry: q.Retry,
			Archived: q.Archived, Completed: q.Completed, "aggregating": q.Aggregating} {
			gauge(descTasks, float64(n), string(state))
		}
		gauge(descSize, float64(q.Left()+q.Archived))
		gauge(descLatency, q.Latency.Seconds())
		gauge(descMemory, float64(q.Memory))
		ch <- prometheus.MustNewConstMetric(descProcessed, prometheus.CounterValue, float64(q.Processed), q.Name)
		ch <- prometheus.MustNewConstMetric(descFailed, prometheus.CounterValue, float64(q.Failed), q.Name)
		paused := 0.0
		if q.Paused {
			paused = 1
		}
		gauge(descPaused, paused)
	}
}

func (f *figuresCollector) look() ([]Info, error) {
	x, _, _ := f.flight.Do("", func() (any, error) {
		if last := f.last.Load(); last != nil && time.Since(last.at) < figuresFor {
			return last, nil
		}
		ctx, cancel := context.WithTimeout(context.Background(), collectFor) //nolint:forbidigo // a collector is given none
		defer cancel()
		infos, err := f.c.Queues(ctx)
		f.last.Store(&look{time.Now(), infos, err})
		return f.last.Load(), nil
	})
	last := x.(*look)
	return last.infos, last.err
}
