package app

import (
	"context"
	"time"

	"github.com/transload/transload/pubsub"
)

// The topics: where the trucks are, by plate, and what happens to each load.
const (
	fleetTopic = "fleet"
	newsTopic  = "load:"
)

var topics = []pubsub.Topic{
	{Prefix: fleetTopic, Delivery: pubsub.Latest, Keep: silentFor},
	{Prefix: newsTopic, Delivery: pubsub.Recoverable, History: 64},
}

// An item is news of a load.
type item struct {
	load  string
	What  string `json:"what"` // bid, booked or measured
	Value int64  `json:"value"`
}

func (a *App) live(o Options) (err error) {
	a.Hub, err = pubsub.New(o.Link.Client, topics, pubsub.Options{Logger: o.Logger})
	a.Fleet = newFleet(a.Hub, o.Logger)
	return err
}

// announce tells who looks at a load what has happened. It waits for nobody: while
// Redis is away news are dropped, since the page shows the same when it is loaded.
func (a *App) announce(load, what string, value int64) {
	select {
	case a.news <- item{load: load, What: what, Value: value}:
	default:
	}
}

// tell publishes the news.
func (a *App) tell(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case n := <-a.news:
			within, cancel := context.WithTimeout(ctx, time.Second)
			if _, err := a.Hub.Publish(within, newsTopic+n.load, "", n); err != nil && ctx.Err() == nil {
				a.log.Warn("news of a load were not published", "workload", "pubsub", "op", "publish", "err", err)
			}
			cancel()
		}
	}
}
