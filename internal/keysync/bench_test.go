package keysync

import (
	"crypto/rand"
	"fmt"
	"os"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/redistest"
)

// BenchmarkCopy measures a backfill of sessions against the bare loop that it
// is to come near to: go test -bench Copy -benchtime 1x.
func BenchmarkCopy(b *testing.B) {
	n, err := strconv.Atoi(os.Getenv("KEYSYNC_KEYS"))
	if err != nil {
		n = 100_000
	}
	ca := redistest.Client(b, redistest.Standalone(b, redistest.Options{Unix: true}))
	cb := redistest.Client(b, redistest.Standalone(b, redistest.Options{Unix: true}))
	keys := sessions(b, ca, n)
	from, to := NewSide(ca), NewSide(cb)
	for what, batch := range map[string]func(keys []string) error{
		"naive": func(keys []string) error { return naive(b, ca, cb, keys) },
		"copy": func(keys []string) error {
			_, err := Copy(b.Context(), from, to, keys, Options{})
			return err
		},
		"fill": func(keys []string) error {
			_, err := Fill(b.Context(), from, to, keys, Options{})
			return err
		},
		"sync": func(keys []string) error {
			_, err := Sync(b.Context(), from, to, keys, Options{})
			return err
		},
		"verify": func(keys []string) error {
			_, err := Compare(b.Context(), from, to, keys, Options{})
			return err
		},
	} {
		b.Run(what, func(b *testing.B) {
			before := [3]float64{serverTime(b, ca), serverTime(b, cb), ownTime(b)}
			for range b.N {
				if what != "verify" {
					cb.FlushAll(b.Context())
				}
				workers(b, keys, 4, 200, batch)
			}
			total := float64(n) * float64(b.N)
			b.ReportMetric(total/b.Elapsed().Seconds(), "keys/s")
			for i, after := range [3]float64{serverTime(b, ca), serverTime(b, cb), ownTime(b)} {
				b.ReportMetric((after-before[i])*1e6/total, [3]string{"µs-source/key", "µs-target/key", "µs-client/key"}[i])
			}
		})
	}
}

// serverTime is how many seconds a server's main thread has computed: unlike
// the rate it does not depend on what else the machine does.
func serverTime(b *testing.B, c redis.UniversalClient) float64 {
	b.Helper()
	info, err := c.InfoMap(b.Context(), "cpu").Result()
	if err != nil {
		b.Fatal(err)
	}
	total := 0.0
	for _, name := range []string{"used_cpu_user_main_thread", "used_cpu_sys_main_thread"} {
		seconds, err := strconv.ParseFloat(info["CPU"][name], 64)
		if err != nil {
			b.Fatal(err)
		}
		total += seconds
	}
	return total
}

// ownTime is the same for this process.
func ownTime(b *testing.B) float64 {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	seconds := func(t syscall.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)/1e6 }
	return seconds(u.Utime) + seconds(u.Stime)
}

// sessions makes keys like those of an app: hashes of ten fields that expire.
func sessions(b *testing.B, c redis.UniversalClient, n int) []string {
	b.Helper()
	keys := make([]string, n)
	for i := 0; i < n; i += 1000 {
		p := c.Pipeline()
		for j := i; j < min(n, i+1000); j++ {
			keys[j] = fmt.Sprint("sess:", j)
			var fields []any
			for f := range 10 {
				fields = append(fields, fmt.Sprint("field", f), rand.Text()+"0123456789") // hard to compress
			}
			p.HSet(b.Context(), keys[j], fields...)
			p.Expire(b.Context(), keys[j], 24*time.Hour)
		}
		if _, err := p.Exec(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	return keys
}

// workers hands out the keys in batches.
func workers(b *testing.B, keys []string, n, size int, do func(keys []string) error) {
	b.Helper()
	batches := make(chan []string)
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			for batch := range batches {
				if err := do(batch); err != nil {
					b.Error(err)
				}
			}
		})
	}
	for i := 0; i < len(keys); i += size {
		batches <- keys[i:min(len(keys), i+size)]
	}
	close(batches)
	wg.Wait()
}

// naive copies value and expiry, read apart, as any loop would.
func naive(b *testing.B, from, to redis.UniversalClient, keys []string) error {
	read := from.Pipeline()
	values := make([]*redis.StringCmd, len(keys))
	expiries := make([]*redis.DurationCmd, len(keys))
	for i, key := range keys {
		values[i] = read.Dump(b.Context(), key)
		expiries[i] = read.PTTL(b.Context(), key)
	}
	if _, err := read.Exec(b.Context()); err != nil {
		return err
	}
	write := to.Pipeline()
	for i, key := range keys {
		write.RestoreReplace(b.Context(), key, expiries[i].Val(), values[i].Val())
	}
	_, err := write.Exec(b.Context())
	return err
}
