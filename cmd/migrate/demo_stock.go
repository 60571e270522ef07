package main

import (
	"context"
	"runtime/metrics"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/load"
	"github.com/transload/transload/migrate/coordinator"
	"github.com/transload/transload/topology"
)

const (
	// maxStock is what fits a machine for development: 4 GiB in all servers.
	maxStock = 5_000_000

	// perKey is how much longer each key of the stock lets a demonstration take; a
	// busy laptop compares some thousand keys a second.
	perKey = time.Millisecond
)

// A stockResult tells what became of the keys that the source had before.
type stockResult struct {
	Keys    int      `json:"keys"`
	Lost    int64    `json:"lost"` // gone, or changed
	Samples []string `json:"samples,omitempty"`
}

// fill writes the stock to the source, as a plain app would have.
func (d *demo) fill(ctx context.Context) error {
	n := d.result.Stock.Keys
	if n == 0 {
		return nil
	}
	d.heading("The source has been in use",
		"Sessions, strings, lists, sets, sorted sets and streams with groups; half of them expire in a day.")
	client, err := topology.Open(d.stage.source)
	if err != nil {
		return err
	}
	defer client.Close()
	if err := load.Stock(ctx, client, n, d.counting("write", n)); err != nil {
		return err
	}
	d.screen.done()
	d.screen.say("   → %s keys", grouped(int64(n)))
	return nil
}

// checkStock looks for each of these keys.
func (d *demo) checkStock(ctx context.Context, c redis.UniversalClient) (err error) {
	s := &d.result.Stock
	if s.Keys == 0 {
		return nil
	}
	if s.Lost, s.Samples, err = load.CheckStock(ctx, c, s.Keys, d.counting("read back", s.Keys)); err != nil {
		return err
	}
	d.screen.done()
	d.screen.say("   → of the %s keys that were there before, %d are gone or changed", grouped(int64(s.Keys)), s.Lost)
	return nil
}

// counting shows how far work on n keys has come.
func (d *demo) counting(stage string, n int) func(int) {
	began := time.Now()
	return func(done int) {
		rate := float64(done) / time.Since(began).Seconds()
		d.screen.follow(coordinator.Progress{Stage: stage, Keys: int64(done), Total: int64(n), Rate: rate, ETA: float64(n-done) / rate})
	}
}

// peakEvery is how often this process's memory is looked at.
const peakEvery = 50 * time.Millisecond

// A peak is the most memory that this process was seen to have from the system.
type peak struct {
	end  func()
	most float64 // MiB; read it after end
}

// watchPeak looks until stop.
func watchPeak() *peak {
	p := &peak{}
	over := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		t := time.NewTicker(peakEvery)
		defer t.Stop()
		for {
			p.most = max(p.most, held())
			select {
			case <-over:
				return
			case <-t.C:
			}
		}
	})
	p.end = sync.OnceFunc(func() { close(over); wg.Wait() })
	return p
}

// stop ends the watch and returns what it saw.
func (p *peak) stop() float64 {
	p.end()
	return p.most
}

// held is the memory that the Go runtime has from the system now, in MiB.
func held() float64 {
	s := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(s)
	return float64(s[0].Value.Uint64()-s[1].Value.Uint64()) / (1 << 20)
}
