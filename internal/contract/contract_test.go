package contract_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/contract"
	"github.com/transload/transload/internal/redistest"
)

func TestMain(m *testing.M) { os.Exit(redistest.Main(m)) }

// TestRun sees that writes, scripts and expiries work wherever a suite is run.
func TestRun(t *testing.T) {
	contract.Run(t, func(t *testing.T, c redis.UniversalClient) {
		script := redis.NewScript(`return redis.call('INCRBY', KEYS[1], ARGV[1])`)
		for i := range 20 { // slots on both sides
			key := fmt.Sprintf("rl:{%s-%d}:n", contract.Name(t), i)
			if err := c.Set(t.Context(), key, i, time.Minute).Err(); err != nil {
				t.Fatal(err)
			}
			if got, err := script.Run(t.Context(), c, []string{key}, 5).Int(); err != nil || got != i+5 {
				t.Errorf("%s: got %d, %v; want %d", key, got, err, i+5)
			}
			if ttl := c.PTTL(t.Context(), key).Val(); ttl <= 0 {
				t.Errorf("%s: got %v to live; want some", key, ttl)
			}
		}
	})
}
