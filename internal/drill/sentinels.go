package drill

import (
	"context"
	"net"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/transload/transload/topology"
)

// announced are the messages of a sentinel that are moments.
var announced = map[string]string{
	"+sdown":          SubjectivelyDown,
	"+odown":          ObjectivelyDown,
	"+elected-leader": LeaderElected,
	"+switch-master":  Switched,
}

// listen subscribes to one sentinel until ctx is done. A sentinel that is away or
// hangs is one that is not heard, and no error: drills kill sentinels too.
func (w *Watch) listen(ctx context.Context, addr string) {
	s := sentinelClient(w.client, addr)
	defer s.Close()
	for ctx.Err() == nil {
		w.hear(ctx, s, addr)
		select {
		case <-ctx.Done():
		case <-time.After(lostAfter):
		}
	}
}

// hear notes what a sentinel says until the connection breaks.
func (w *Watch) hear(ctx context.Context, s *redis.SentinelClient, addr string) {
	ps := s.PSubscribe(ctx, "*")
	defer ps.Close()
	stop := context.AfterFunc(ctx, func() { ps.Close() }) // a cancelled context does not end a read
	defer stop()
	for {
		m, err := ps.ReceiveMessage(ctx)
		if err != nil {
			return
		}
		name, ok := announced[m.Channel]
		if ok && w.concerns(m.Payload) {
			w.note(Moment{name, time.Now(), w.subject(m.Channel, m.Payload), "sentinel " + addr + ": " + m.Channel + " " + m.Payload})
		}
	}
}

// concerns reports whether a message is about our primary: others of the same
// sentinels, replicas and sentinels have messages of the same names.
func (w *Watch) concerns(payload string) bool {
	f := strings.Fields(payload)
	name := w.client.Config().SentinelMaster
	return len(f) >= 4 && (f[0] == "master" && f[1] == name || f[0] == name)
}

// subject returns the address that a message is about.
func (w *Watch) subject(channel, payload string) string {
	f := strings.Fields(payload)
	if channel == "+switch-master" && len(f) >= 5 { // name, old, new
		return net.JoinHostPort(f[3], f[4])
	}
	return net.JoinHostPort(f[2], f[3])
}

// sentinelClient builds a client to one sentinel, with the app's own settings.
func sentinelClient(c *topology.Client, addr string) *redis.SentinelClient {
	cfg := c.Config()
	return redis.NewSentinelClient(&redis.Options{
		Addr: addr, Username: cfg.SentinelUsername, Password: string(cfg.SentinelPassword),
		Dialer:     func(ctx context.Context, _, addr string) (net.Conn, error) { return c.Dial(ctx, addr) },
		MaxRetries: -1, DialerRetries: 1, DialTimeout: cfg.DialTimeout, ReadTimeout: cfg.ReadTimeout,
		ContextTimeoutEnabled: true, DisableIdentity: true, PoolSize: 2,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
}
