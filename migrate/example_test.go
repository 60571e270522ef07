package migrate_test

import (
	"context"
	"fmt"

	"github.com/transload/transload/migrate"
	"github.com/transload/transload/topology/embedded"
)

func ExampleOpen() {
	source, err := embedded.Start(nil) // an app has topology.FromEnv("REDIS", os.Getenv)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer source.Close()
	target, err := embedded.Start(nil) // and topology.FromEnv("REDIS_TARGET", os.Getenv)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer target.Close()

	ctx := context.Background()
	client, err := migrate.Open(ctx, migrate.Options{Name: "freight", Source: source.Config(), Target: target.Config()})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	client.Set(ctx, "sess:{42}", "ada", 0)
	fmt.Println(client.Get(ctx, "sess:{42}").Val())
	fmt.Println(client.Do(ctx, "select", 1).Err())
	// Output:
	// ada
	// migrate: command refused: select: one database is migrated: open a client for each database
}
