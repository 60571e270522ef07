package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"testing"
)

// BenchmarkHold tells how long writes are held, by keys and by writes a second of
// three processes, in whole migrations: the five moves of each.
func BenchmarkHold(b *testing.B) {
	for _, keys := range []int{10_000, 100_000, 1_000_000} {
		for _, writes := range []int{500, 2000, 5000} {
			b.Run(fmt.Sprintf("keys=%d/writes=%d", keys, writes), func(b *testing.B) {
				for b.Loop() {
					hold(b, keys, writes)
				}
			})
		}
	}
}

// writesShare is the share of the demonstration's commands that writes have, pops
// and pipelines of five counted in.
const writesShare = 1.25

func hold(b *testing.B, keys, writes int) {
	b.Helper()
	rate := int(float64(writes) / demoMembers / writesShare)
	r := command(b, nil, "demo", "--mode", "sentinel", "--keys", strconv.Itoa(keys), "--rate", strconv.Itoa(rate), "--json")
	var got demoResult
	if err := json.Unmarshal([]byte(r.out), &got); err != nil || !got.Pass {
		b.Fatalf("got %v, %s", err, r.out)
	}
	holds := slices.Sorted(slices.Values(got.HoldsMS))
	b.ReportMetric(holds[len(holds)/2], "hold-median-ms")
	b.ReportMetric(holds[len(holds)-1], "hold-max-ms")
	b.ReportMetric(got.WaitMS, "longest-wait-ms")
	b.ReportMetric(got.WritesPerS, "writes/s")
	b.ReportMetric(got.PeakMiB, "coordinator-MiB")
}
