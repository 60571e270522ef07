package keysync_test

import (
	"context"
	"fmt"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/keysync"
)

func Example() {
	ctx := context.Background()
	source, target := miniredis.NewMiniRedis(), miniredis.NewMiniRedis()
	if err := source.Start(); err != nil {
		fmt.Println(err)
		return
	}
	defer source.Close()
	if err := target.Start(); err != nil {
		fmt.Println(err)
		return
	}
	defer target.Close()
	from := redis.NewClient(&redis.Options{Addr: source.Addr()})
	defer from.Close()
	to := redis.NewClient(&redis.Options{Addr: target.Addr()})
	defer to.Close()

	from.HSet(ctx, "cart:7", "apples", 3)
	from.Expire(ctx, "cart:7", time.Hour)
	to.Set(ctx, "cart:8", "emptied long ago", 0)
	opts := keysync.Options{
		Check:     func() error { return nil }, // the caller's lease
		Tolerance: 100 * time.Millisecond,      // miniredis counts down what is left
	}
	for range 2 {
		results, err := keysync.Sync(ctx, keysync.NewSide(from), keysync.NewSide(to), []string{"cart:7", "cart:8"}, opts)
		if err != nil {
			fmt.Println(err)
			return
		}
		for _, r := range results {
			fmt.Println(r.Key, r.Diff, r.Action)
		}
	}
	// Output:
	// cart:7 missing copied
	// cart:8 extra deleted
	// cart:7 equal none
	// cart:8 equal none
}
