package topology

import (
	"context"
	"fmt"
	"math"
	"net"
	"strconv"
	"time"
)

// A HealthStatus sums up a Redis for people and load balancers.
type HealthStatus string

// The statuses.
const (
	Healthy   HealthStatus = "healthy"
	Degraded  HealthStatus = "degraded"  // commands work, but something is missing: the reasons say what
	Unhealthy HealthStatus = "unhealthy" // some or all writes fail
)

// Health is how a Redis is. Its JSON is that of the plan's health endpoint, with
// additions. It holds addresses, and no secrets.
type Health struct {
	Status      HealthStatus   `json:"status"`
	Reasons     []string       `json:"reasons,omitempty"` // what is wrong, in words; none if healthy
	Mode        Mode           `json:"mode"`
	Side        string         `json:"side,omitempty"` // of WithSide
	At          time.Time      `json:"at"`
	Cluster     ClusterHealth  `json:"cluster"`
	Performance *Performance   `json:"performance"` // nil unless the client has WithMetrics
	Failover    FailoverHealth `json:"failover"`
}

// ClusterHealth tells of the servers.
type ClusterHealth struct {
	Primary   *NodeHealth      `json:"primary"`             // in a cluster the first by address; nil if there is none
	Primaries []NodeHealth     `json:"primaries,omitempty"` // in a cluster alone: all of them
	Replicas  []NodeHealth     `json:"replicas"`
	Sentinels []SentinelHealth `json:"sentinels"`
}

// NodeHealth is how one data server is.
type NodeHealth struct {
	Host              string   `json:"host"`
	Port              int      `json:"port,omitempty"` // 0 for a socket
	Role              string   `json:"role"`           // "master" or "slave", as the server says it
	Healthy           bool     `json:"healthy"`
	ConnectedReplicas *int     `json:"connected_replicas,omitempty"` // of a primary, as it counts them
	ReplicationOffset *int64   `json:"replication_offset,omitempty"` // bytes; nil if it was never told
	Of                string   `json:"of,omitempty"`                 // a replica's primary, as it names it
	Link              string   `json:"link,omitempty"`               // of a replica to its primary: "up" or "down"
	LagSeconds        *float64 `json:"lag_seconds,omitempty"`        // of a replica; nil if it is not known
	Priority          *int     `json:"priority,omitempty"`           // of a replica, for promotion; 0 is never
}

// SentinelHealth is how one sentinel is.
type SentinelHealth struct {
	Host    string `json:"host"`
	Port    int    `json:"port"`
	Healthy bool   `json:"healthy"` // it answers, and names the present primary
}

// Performance is what this process has measured in the last minute. A pipeline
// is one latency and as many operations as it holds.
type Performance struct {
	ReadLatencyP99MS   *float64 `json:"read_latency_p99_ms"` // nil if nothing was read
	WriteLatencyP99MS  *float64 `json:"write_latency_p99_ms"`
	ReadThroughputOps  float64  `json:"read_throughput_ops"` // a second
	WriteThroughputOps float64  `json:"write_throughput_ops"`
}

// FailoverHealth is what this process has seen of failovers since its client was
// opened.
type FailoverHealth struct {
	LastAt      *time.Time `json:"last_failover_at"` // nil for none
	Count24h    int        `json:"failover_count_24h"`
	CountTotal  int        `json:"failover_count_total"`
	ConfigEpoch *uint64    `json:"config_epoch,omitempty"` // the sentinels' own number of the latest failover
}

// Health tells how the Redis is. In the modes sentinel and cluster it is what the
// client's watcher saw within the last second, and asks nobody; a standalone
// server is asked. It returns within ReadTimeout (at least 100ms, at most 2s),
// also when servers hang or none is known; such a Redis is Unhealthy, as is one
// whose client is closed. No write is tried, but one that a server refused in the
// last seconds counts.
func (c *Client) Health(ctx context.Context) Health {
	if c.closed.Load() {
		return c.closedHealth()
	}
	s, now := c.view(ctx), time.Now()
	h := Health{Mode: c.cfg.Mode, Side: c.events.side, At: now.UTC(), Failover: c.failoverHealth(s, now)}
	h.Cluster.Replicas, h.Cluster.Sentinels = []NodeHealth{}, []SentinelHealth{}
	for _, n := range s.nodes {
		if n.Role == Master {
			h.Cluster.Primaries = append(h.Cluster.Primaries, n.health())
		} else {
			h.Cluster.Replicas = append(h.Cluster.Replicas, n.health())
		}
	}
	for _, x := range s.sentinels {
		h.Cluster.Sentinels = append(h.Cluster.Sentinels, x.health(s.primary()))
	}
	if len(h.Cluster.Primaries) > 0 {
		h.Cluster.Primary = &h.Cluster.Primaries[0]
	}
	if c.cfg.Mode != Cluster {
		h.Cluster.Primaries = nil
	}
	if c.meter != nil {
		h.Performance = c.meter.performance()
	}
	h.Status, h.Reasons = judge(s, c.cfg.Mode)
	if why := c.refused.why(s, now); why != "" {
		h.Status, h.Reasons = Unhealthy, append([]string{why}, h.Reasons...)
	}
	return h
}

// closedHealth is the Health after Close: what was seen last is of no use any more.
func (c *Client) closedHealth() Health {
	now := time.Now()
	h := Health{Mode: c.cfg.Mode, Side: c.events.side, At: now.UTC(), Failover: c.failoverHealth(&snapshot{}, now)}
	h.Cluster.Replicas, h.Cluster.Sentinels = []NodeHealth{}, []SentinelHealth{}
	h.Status, h.Reasons = Unhealthy, []string{"the client is closed: commands fail"}
	return h
}

// answers reports whether a server answers this client's questions. One that
// only tells it that it may not come in does not.
func (n nodeState) answers() bool { return n.err == nil && n.refused == nil && !n.answered.IsZero() }

func (n nodeState) health() NodeHealth {
	h := NodeHealth{Role: "master", Healthy: n.answers() && !n.loading}
	h.Host, h.Port = hostPort(n.Addr)
	known := !n.answered.IsZero() && n.says != ""
	if known {
		h.ReplicationOffset = &n.offset
	}
	if n.Role == Master {
		if known {
			h.ConnectedReplicas = &n.connected
		}
		return h
	}
	h.Role = "slave"
	h.Healthy = h.Healthy && n.linkUp && !n.syncing
	if !known {
		return h
	}
	h.Of, h.Link = n.of, "down"
	if n.linkUp {
		h.Link = "up"
	}
	if n.lagKnown {
		seconds := math.Round(n.lag.Seconds()*1e3) / 1e3
		h.LagSeconds = &seconds
	}
	if n.priority >= 0 {
		h.Priority = &n.priority
	}
	return h
}

func (x sentinelState) health(primary string) SentinelHealth {
	h := SentinelHealth{Healthy: x.answers() && x.master == primary}
	h.Host, h.Port = hostPort(x.addr)
	return h
}

func (x sentinelState) answers() bool { return x.err == nil && !x.answered.IsZero() }

// hostPort takes an address apart; a socket's path is all host.
func hostPort(addr string) (string, int) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr, 0
	}
	n, _ := strconv.Atoi(port)
	return host, n
}

func (c *Client) failoverHealth(s *snapshot, now time.Time) FailoverHealth {
	n := c.events.failovers.count(now)
	h := FailoverHealth{Count24h: n.today, CountTotal: n.total}
	if n.total > 0 {
		at := n.last.UTC()
		h.LastAt = &at
	}
	for _, x := range s.sentinels {
		if x.answers() && (h.ConfigEpoch == nil || x.epoch > *h.ConfigEpoch) {
			h.ConfigEpoch = &x.epoch
		}
	}
	return h
}

// performance tells of the last minute.
func (m *meter) performance() *Performance {
	tenth := func(f float64) float64 { return math.Round(f*10) / 10 }
	return &Performance{
		ReadLatencyP99MS: m.reads.p99MS(), ReadThroughputOps: tenth(m.reads.ops.PerSecond(m.began)),
		WriteLatencyP99MS: m.writes.p99MS(), WriteThroughputOps: tenth(m.writes.ops.PerSecond(m.began)),
	}
}

// String sums the health up in a line.
func (h Health) String() string {
	if len(h.Reasons) == 0 {
		return string(h.Status)
	}
	return fmt.Sprintf("%s: %s", h.Status, h.Reasons[0])
}
