package app

import (
	"context"
	"sync"
	"time"
)

// A Probe is what trying one workload has shown.
type Probe struct {
	Workload string  `json:"workload"`
	OK       bool    `json:"ok"`
	MS       float64 `json:"ms"`
	Error    string  `json:"error,omitempty"`
}

// Probe does the real thing in each workload, on keys of its own, and tells how it
// went: before a migration, and after it.
func (a *App) Probe(ctx context.Context) []Probe {
	probes := []struct {
		name string
		try  func(context.Context) error
	}{
		{"ratelimit", a.Limits.Probe}, {"sessions", a.Sessions.Probe}, {"queue", a.Queue.Probe},
		{"pubsub", a.Hub.Probe}, {"cache", a.Catalog.Probe},
	}
	all := make([]Probe, len(probes))
	var wg sync.WaitGroup
	for i, p := range probes {
		wg.Go(func() {
			began := time.Now()
			err := p.try(ctx)
			all[i] = Probe{Workload: p.name, OK: err == nil, MS: float64(time.Since(began).Microseconds()) / 1000}
			if err != nil {
				all[i].Error = err.Error()
			}
		})
	}
	wg.Wait()
	return all
}
