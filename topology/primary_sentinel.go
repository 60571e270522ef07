package topology

import (
	"cmp"
	"context"
	"errors"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// sentinelHaste is how often a sentinel is asked while there is trouble. It
	// tells of what matters by itself as well.
	sentinelHaste = 200 * time.Millisecond

	// A subscription is pinged each second, and one that was silent for deaf is
	// made anew: a hung sentinel's kernel keeps its connection open for ever.
	pingEvery = time.Second
	deaf      = 2 * time.Second

	// firstBackoff and lastBackoff lie between two tries to subscribe.
	firstBackoff = 100 * time.Millisecond
	lastBackoff  = 2 * time.Second
)

// A sentinelReport is what one sentinel says.
type sentinelReport struct {
	sentinelState
	servers   []string          // the data servers that it lists
	sentinels map[string]string // other sentinels' addresses → ids
}

// watchSentinel asks a sentinel again and again, and listens to it, until ctx is
// done.
func (w *primaryWatcher) watchSentinel(ctx context.Context, addr string) {
	rdb := w.c.asker(addr, w.c.cfg.SentinelUsername, w.c.cfg.SentinelPassword, w.name)
	defer rdb.Close()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { w.listen(ctx, rdb) })
	limit := w.c.meetingTime()
	for {
		call, began := w.pulse.next(), time.Now()
		r := askSentinelAll(ctx, rdb, w.c.cfg.SentinelMaster, limit)
		r.addr, r.asked, limit = addr, began, w.c.meetingTime()
		if r.err == nil {
			r.answered, limit = time.Now(), w.c.answerTime()
		}
		if ctx.Err() != nil {
			return
		}
		w.tell(ctx, func(s *watchState) { s.sentinelSays(r) })
		if !w.pulse.pause(ctx, began, call, sentinelHaste) {
			return
		}
	}
}

// askSentinelAll asks a sentinel for all that it knows of a master, in one round
// trip. The epoch comes before the address, for askSentinel's reason.
func askSentinelAll(ctx context.Context, rdb *redis.Client, name string, limit time.Duration) (r sentinelReport) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	p := rdb.Pipeline()
	master := redis.NewMapStringStringCmd(ctx, "sentinel", "master", name)
	now := redis.NewStringSliceCmd(ctx, "sentinel", "get-master-addr-by-name", name)
	replicas := redis.NewMapStringStringSliceCmd(ctx, "sentinel", "replicas", name)
	others := redis.NewMapStringStringSliceCmd(ctx, "sentinel", "sentinels", name)
	id := redis.NewStringCmd(ctx, "sentinel", "myid")
	for _, cmd := range []redis.Cmder{master, now, replicas, others, id} {
		_ = p.Process(ctx, cmd) // queues it
	}
	_, refused := p.Exec(ctx) // each command has its own error, unless the sentinel let nobody in
	if r.err = master.Err(); r.err == nil {
		r.err = now.Err()
	}
	if redis.HasErrorPrefix(r.err, "No such master") {
		r.err = errNoMaster
	}
	if r.err == nil && len(now.Val()) != 2 {
		r.err = cmp.Or(refused, errors.New("told no address"))
	}
	if r.err != nil {
		return r
	}
	r.id = id.Val()
	r.read(master.Val(), net.JoinHostPort(now.Val()[0], now.Val()[1]), replicas.Val(), others.Val())
	return r
}

// read takes over a sentinel's replies. Where the address that it gives for the
// master is not that of the master's own entry, it leads a failover and names
// the new one first.
func (r *sentinelReport) read(master map[string]string, addr string, replicas, others []map[string]string) {
	listed := nodeOf(master, Master)
	r.master = addr
	r.epoch, _ = strconv.ParseUint(master["config-epoch"], 10, 64)
	r.quorum, _ = strconv.Atoi(master["quorum"])
	r.others, _ = strconv.Atoi(master["num-other-sentinels"])
	if listed.Addr == addr {
		r.down = listed.Down
		r.failover = strings.Contains(master["flags"], "o_down") || strings.Contains(master["flags"], "failover_in_progress")
	}
	r.servers = []string{addr, listed.Addr}
	for _, m := range replicas {
		r.servers = append(r.servers, nodeOf(m, Replica).Addr)
	}
	r.sentinels = map[string]string{}
	for _, m := range others {
		if at := net.JoinHostPort(m["ip"], m["port"]); checkAddr(at) == nil {
			r.sentinels[at] = m["runid"]
		}
	}
}

// listen keeps a subscription to a sentinel.
func (w *primaryWatcher) listen(ctx context.Context, rdb *redis.Client) {
	wait := firstBackoff
	for {
		if w.subscribe(ctx, rdb) {
			wait = firstBackoff
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		wait = min(2*wait, lastBackoff)
	}
}

// subscribe listens until the connection breaks or falls silent, and reports
// whether it was ever good.
func (w *primaryWatcher) subscribe(ctx context.Context, rdb *redis.Client) (good bool) {
	sub := rdb.PSubscribe(ctx, "*")
	defer sub.Close()
	stop := context.AfterFunc(ctx, func() { sub.Close() }) // a cancelled context ends no read
	defer stop()
	silence := time.AfterFunc(deaf, func() { sub.Close() })
	defer silence.Stop()
	var wg sync.WaitGroup
	over := make(chan struct{})
	defer wg.Wait()
	defer close(over)
	wg.Go(func() { pingUntil(ctx, sub, over) })
	for {
		msg, err := sub.Receive(ctx)
		if err != nil {
			return good
		}
		good = true
		silence.Reset(deaf)
		if m, ok := msg.(*redis.Message); ok {
			w.hear(ctx, m)
		}
	}
}

// pingUntil pings a subscription until over is closed.
func pingUntil(ctx context.Context, sub *redis.PubSub, over <-chan struct{}) {
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	for {
		select {
		case <-over:
			return
		case <-tick.C:
			_ = sub.Ping(ctx) // the silence that follows tells
		}
	}
}

// underWay holds the messages by which a sentinel says that a primary is down by
// common consent, or is being replaced.
var underWay = map[string]bool{
	"+odown": true, "+try-failover": true, "+elected-leader": true, "+selected-slave": true,
	"+failover-state-select-slave": true, "+failover-state-send-slaveof-noone": true,
	"+failover-state-wait-promotion": true, "+promoted-slave": true, "+failover-state-reconf-slaves": true,
	"+failover-detected": true,
}

// hear takes a sentinel's message for a hint to look. The name of the master that
// it is about stands before that one's host and port.
func (w *primaryWatcher) hear(ctx context.Context, m *redis.Message) {
	f := strings.Fields(m.Payload)
	i := slices.Index(f, w.c.cfg.SentinelMaster)
	if i < 0 {
		return
	}
	w.pulse.look()
	if underWay[m.Channel] && i+2 < len(f) {
		addr := net.JoinHostPort(f[i+1], f[i+2])
		w.tell(ctx, func(s *watchState) { s.hinted(addr) })
	}
}
