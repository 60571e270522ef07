package pubsub_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/pubsub"
)

// page follows what the test publishes and writes down what it sees. #map has the
// vehicles as a user would see them.
const page = `<!doctype html><meta charset="utf-8"><title>Live</title><ul id="map"></ul>
<script type="module">
import { Live } from "/live.js";
const seen = window.seen = { states: [], chat: [], fleet: {} };
const map = document.getElementById("map");
const draw = () => { map.textContent = Object.entries(seen.fleet).map(([k, v]) => k + " " + v).sort().join("; "); };
const live = window.live = new Live("/live");
live.onstatus = (s) => { if (seen.states.at(-1) !== s.state) seen.states.push(s.state); seen.age = s.age; seen.code = s.code; };
live.follow("pos:fleet", {
  snapshot: () => { seen.fleet = {}; draw(); },
  message: (m) => { if (m.data === null) delete seen.fleet[m.key]; else seen.fleet[m.key] = m.data; draw(); },
});
live.follow("chat:load", { message: (m) => seen.chat.push(m.data), gap: () => seen.chat.push("gap") });
live.follow("pos:forbidden", { denied: (why) => { seen.denied = why; } });
</script>`

var topics = []pubsub.Topic{
	{Prefix: "pos:", Delivery: pubsub.Latest},
	{Prefix: "chat:", Delivery: pubsub.Recoverable},
}

// An instance is one run of an app's process.
type instance struct {
	hub  *pubsub.Hub
	stop func()
}

// start runs an instance at an address, and stops it as a deployment would.
func start(t *testing.T, c redis.UniversalClient, addr string) *instance {
	t.Helper()
	hub, err := pubsub.New(c, topics, pubsub.Options{})
	if err != nil {
		t.Fatal(err)
	}
	sockets, err := hub.Handler(pubsub.Sockets{
		Identify: func(*http.Request) (pubsub.Peer, error) { return pubsub.Peer{User: "alice", Session: "s1"}, nil },
		Authorize: func(_ context.Context, _ pubsub.Peer, topic string) error {
			if topic == "pos:forbidden" {
				return pubsub.ErrDenied
			}
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/live", sockets)
	mux.Handle("/live.js", pubsub.Client())
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(page)) })
	var l net.Listener
	eventually(t, func() error { l, err = net.Listen("tcp", addr); return err })
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	served := make(chan struct{})
	go func() { defer close(served); _ = srv.Serve(l) }()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = hub.Run(ctx) }()
	stopped := false
	i := &instance{hub: hub, stop: func() {
		if stopped {
			return
		}
		stopped = true
		within, done := context.WithTimeout(context.Background(), 10*time.Second)
		defer done()
		if err := errors.Join(sockets.Drain(within), srv.Shutdown(within)); err != nil {
			t.Errorf("stop: %v", err)
		}
		cancel()
		<-ended
		<-served
	}}
	t.Cleanup(i.stop)
	return i
}

func publish(t *testing.T, hub *pubsub.Hub, topic, key string, v any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := hub.Publish(ctx, topic, key, v); err != nil {
		t.Fatal(fmt.Errorf("publish to %s: %w", topic, err))
	}
}
