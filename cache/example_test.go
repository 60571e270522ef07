package cache_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/transload/transload/cache"
	"github.com/transload/transload/topology"
	"github.com/transload/transload/topology/embedded"
)

func Example() {
	srv, err := embedded.Start(nil) // a Redis inside the process
	if err != nil {
		fmt.Println(err)
		return
	}
	defer srv.Close()
	client, err := topology.Open(srv.Config()) // or migrate.Open, or any client of go-redis's
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	store, err := cache.Open(client, cache.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close()

	type truck struct{ Plate string }
	trucks, err := cache.New(store, "truck", cache.Config[truck]{}) // five minutes
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	show := func(id string) {
		v, meta, err := trucks.Get(ctx, id, func(context.Context) (truck, error) {
			fmt.Println("the database is asked for", id)
			if id == "9" {
				return truck{}, cache.ErrNotFound
			}
			return truck{Plate: "HH-TL " + id}, nil
		})
		if errors.Is(err, cache.ErrNotFound) {
			fmt.Println("there is no", id)
			return
		}
		fmt.Println(v.Plate, "from", meta.Source, err)
	}
	show("7")
	show("7")
	show("9")
	show("9")
	fmt.Println(trucks.Invalidate(ctx, "7")) // once its row has changed
	show("7")
	_ = srv.Close() // Redis dies
	show("7")
	// Output:
	// the database is asked for 7
	// HH-TL 7 from loader <nil>
	// HH-TL 7 from memory <nil>
	// the database is asked for 9
	// there is no 9
	// there is no 9
	// <nil>
	// the database is asked for 7
	// HH-TL 7 from loader <nil>
	// HH-TL 7 from memory <nil>
}
