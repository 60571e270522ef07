package pubsub

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// A listener is a client whose messages are heard by another one.
type listener struct {
	redis.UniversalClient
	by redis.UniversalClient
}

func (l listener) Listen() ([]redis.UniversalClient, <-chan struct{}) {
	return []redis.UniversalClient{l.by}, nil
}

// A connection that was begun while a server hung is given up when another one answers
// in its place, and not only after a silence.
func TestOutrun(t *testing.T) {
	t.Parallel()
	_, s := mini(t)
	hung, err := net.Listen("tcp", "127.0.0.1:0") // takes connections, and says nothing
	must(t, err)
	t.Cleanup(func() { _ = hung.Close() })
	var dials atomic.Int64
	by := redis.NewClient(&redis.Options{Addr: s.Addr(), DisableIdentity: true, Dialer: func(ctx context.Context, network, addr string) (net.Conn, error) {
		if dials.Add(1) == 1 {
			addr = hung.Addr().String()
		}
		return new(net.Dialer).DialContext(ctx, network, addr)
	}})
	t.Cleanup(func() { _ = by.Close() })
	const silence = 8 * time.Second
	h := hubOn(t, listener{miniClient(t, s), by}, policies(), func(o *Options) { o.Silence = silence })
	began := time.Now()
	subscribe(t, h, "pos:a", "").wants("snapshot")
	if took := time.Since(began); dials.Load() < 2 || took > silence*3/4 {
		t.Errorf("got %v and %d dials; want another connection long before %v", took, dials.Load(), silence)
	}
}
