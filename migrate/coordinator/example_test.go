package coordinator_test

import (
	"context"
	"fmt"

	"github.com/transload/transload/migrate/coordinator"
	"github.com/transload/transload/topology/embedded"
)

func Example() {
	source, err := embedded.Start(nil) // the migrate command has topology.FromEnv("REDIS", os.Getenv)
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
	c, err := coordinator.Open(coordinator.Options{Name: "freight", Source: source.Config(), Target: target.Config()})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()

	status, err := c.Status(ctx)
	fmt.Println(status.Phase, err)
	_, err = c.Cutover(ctx, coordinator.CutoverRequest{To: []int{10, 50, 100}})
	fmt.Println(err)
	// Output:
	// off <nil>
	// refused: phase: the migration has not begun; next: run `migrate shadow` first
}
