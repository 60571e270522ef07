package lastminute

import (
	"math"
	"testing"
	"testing/synctest"
	"time"
)

func TestCounter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c Counter
		began := time.Now()
		if got := c.PerSecond(began); got != 0 {
			t.Errorf("at once: got %v a second; want 0", got)
		}
		c.Add(3)
		time.Sleep(30 * time.Second)
		c.Add(4)
		if n, pace := c.Sum(), c.PerSecond(began); n != 7 || math.Abs(pace-7.0/30) > 1e-9 {
			t.Errorf("after half a minute: got %d, %v a second; want 7 in 30 s", n, pace)
		}
		time.Sleep(36 * time.Second)
		if n, pace := c.Sum(), c.PerSecond(began); n != 4 || pace > 4.0/60 || pace < 4.0/65 {
			t.Errorf("after more than a minute: got %d, %v a second; want 4 in a minute and a part", n, pace)
		}
		time.Sleep(time.Hour)
		if n := c.Sum(); n != 0 {
			t.Errorf("after an hour: got %d; want 0", n)
		}
	})
}

func TestLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l Latency
		if l.Window() != nil {
			t.Error("got a window of nothing; want none")
		}
		for i := range 100 {
			l.Record(time.Duration(i+1) * time.Millisecond)
		}
		w := l.Window()
		if p50, p99 := w.ValueAtQuantile(50), w.ValueAtQuantile(99); w.TotalCount() != 100 || p50 < 49_000 || p50 > 52_000 || p99 < 97_000 || p99 > 101_000 {
			t.Errorf("got %d, %d and %d µs; want 50 and 99 ms of 100", w.TotalCount(), p50, p99)
		}
		l.Record(time.Hour)
		if got := l.Window().Max(); got < 59_000_000 {
			t.Errorf("got %d µs for an hour; want the minute that is the longest", got)
		}
		if n := w.TotalCount(); n != 100 {
			t.Errorf("got %d in a window that was taken before; want the 100 of then", n)
		}
		time.Sleep(71 * time.Second)
		if n := l.Window().TotalCount(); n != 0 {
			t.Errorf("got %d; want nothing left of the last minute", n)
		}
		if n, sum := l.Totals(); n != 101 || sum != 5050*time.Millisecond+time.Hour {
			t.Errorf("got totals %d, %v; want 101 in all", n, sum)
		}
	})
}
