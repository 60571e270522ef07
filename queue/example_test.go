package queue_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/queue"
)

type SMS struct{ To, Text string }

var SendSMS = queue.Define[SMS]("sms.send", queue.In("sms"), queue.MaxAttempts(8), queue.Timeout(20*time.Second))

func Example() {
	server, err := miniredis.Run() // in an app: topology.Open, or migrate.Open
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	client := redis.NewClient(&redis.Options{Addr: server.Addr(), ContextTimeoutEnabled: true})
	defer func() { _ = client.Close() }()

	c, err := queue.NewClient(client, queue.Options{})
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	for range 2 { // a webhook that comes twice
		receipt, err := SendSMS.Enqueue(ctx, c, SMS{To: "+49151", Text: "Your load has arrived"}, queue.Key("arrival of load 7"))
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(receipt.State)
	}

	s, err := queue.NewServer(client, queue.Config{Queues: map[string]int{"sms": 1}})
	if err != nil {
		log.Fatal(err)
	}
	err = SendSMS.Handle(s, func(_ context.Context, v SMS, m queue.Meta) error {
		fmt.Println(v.Text, "– attempt", m.Attempt)
		stop()
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := s.Run(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// new
	// duplicate
	// Your load has arrived – attempt 1
}
