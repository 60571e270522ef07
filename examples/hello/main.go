// Command hello is the smallest app that can be migrated while it works: it
// counts visits in Redis, and says each second how far it has come. It takes
// REDIS_* for the Redis that it has, and REDIS_TARGET_* for the one to come.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/migrate"
	"github.com/transload/transload/topology"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Getenv, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "hello:", err)
		os.Exit(1)
	}
}

// run opens the client and works until ctx is done.
func run(ctx context.Context, getenv func(string) string, out io.Writer) error {
	source, err := topology.FromEnv("REDIS", getenv)
	if err != nil {
		return err
	}
	target, err := topology.FromEnv("REDIS_TARGET", getenv)
	if err != nil {
		return err
	}
	client, err := migrate.Open(ctx, migrate.Options{Source: source, Target: target, Version: "hello 1"})
	if err != nil {
		return err
	}
	defer client.Close()
	return work(ctx, client, client.Phase, out)
}

// work uses the client as any other redis.UniversalClient.
func work(ctx context.Context, rdb redis.UniversalClient, phase func() string, out io.Writer) error {
	said, acked, failed := time.Now(), 0, 0
	for n := 0; ctx.Err() == nil; n++ {
		if err := visit(ctx, rdb, n%1000); err != nil {
			failed++
		} else {
			acked++
		}
		if time.Since(said) >= time.Second {
			said = time.Now()
			fmt.Fprintf(out, "%-8s %6d visits counted, %d errors\n", phase(), acked, failed)
		}
		time.Sleep(time.Millisecond)
	}
	return nil
}

// visit is one page that one user asks for: the session is read, or begun, and
// the visit counted.
func visit(ctx context.Context, rdb redis.UniversalClient, user int) error {
	session := fmt.Sprintf("sess:{%d}", user)
	err := rdb.Get(ctx, session).Err()
	if errors.Is(err, redis.Nil) {
		err = rdb.Set(ctx, session, time.Now().Unix(), 24*time.Hour).Err()
	}
	if err != nil {
		return err
	}
	return rdb.Incr(ctx, fmt.Sprintf("rl:{%d}:visits", user)).Err()
}
