package pubsub_test

import (
	"context"
	"fmt"

	"github.com/transload/transload/pubsub"
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

	hub, err := pubsub.New(client, []pubsub.Topic{
		{Prefix: "pos:", Delivery: pubsub.Latest},
		{Prefix: "chat:", Delivery: pubsub.Recoverable},
	}, pubsub.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- hub.Run(ctx) }()
	defer func() { stop(); <-done }()

	show := func(sub *pubsub.Sub, n int) {
		for range n {
			e, err := sub.Next(ctx)
			if err != nil {
				fmt.Println(err)
				return
			}
			if e.Kind == pubsub.Published {
				fmt.Println(e.Key, string(e.Data))
			} else {
				fmt.Println(e.Kind)
			}
		}
	}
	type position struct{ Lat, Lon float64 }
	for _, lat := range []float64{52.1, 52.2} { // who comes later sees the last
		if _, err := hub.Publish(ctx, "pos:fleet-7", "truck-12", position{lat, 4.3}); err != nil {
			fmt.Println(err)
			return
		}
	}
	vehicles, err := hub.Subscribe(ctx, "pos:fleet-7", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer vehicles.Close()
	show(vehicles, 2)

	said, err := hub.Publish(ctx, "chat:load-9", "alice", "at the gate")
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := hub.Publish(ctx, "chat:load-9", "bob", "dock 4 is free"); err != nil {
		fmt.Println(err)
		return
	}
	chat, err := hub.Subscribe(ctx, "chat:load-9", said.Pos) // goes on after what was seen
	if err != nil {
		fmt.Println(err)
		return
	}
	defer chat.Close()
	show(chat, 1)
	// Output:
	// snapshot
	// truck-12 {"Lat":52.2,"Lon":4.3}
	// bob "dock 4 is free"
}
