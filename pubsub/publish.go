package pubsub

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/transload/transload/internal/budget"
)

// Statuses of publish.lua.
const (
	published = iota + 1
	before
	unsure
	full
)

// A Receipt says what became of a message.
type Receipt struct {
	// Pos is the message's position: who subscribes with it gets what comes after.
	Pos string
	// Confirmed says that a replica has the message, so that a failover does not lose
	// it. Without Topic.Confirm, and where there is no replica, it is false.
	Confirmed bool
}

// errSent means that a message may have been published by an earlier try.
var errSent = errors.New("an earlier try may have published it, and too many messages have been since to know")

// Publish publishes v, as JSON, to all who follow a topic, anywhere. key is what of
// the topic it is the value of, such as a vehicle: Latest requires it, else it may be
// "". What one caller publishes, one after the other, arrives in that order.
//
// The message is published once, however often it had to be tried. ErrUnavailable
// after Options.Wait means that it may have been or not; ErrTopic, ErrTooLarge and
// ErrFull that it was not.
func (h *Hub) Publish(ctx context.Context, topic, key string, v any) (Receipt, error) {
	if err := notOurs(topic); err != nil {
		return Receipt{}, err
	}
	return h.publishValue(ctx, topic, key, v)
}

func (h *Hub) publishValue(ctx context.Context, topic, key string, v any) (Receipt, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return Receipt{}, fmt.Errorf("pubsub: value: %w", err)
	}
	if len(data) > h.opt.MaxValue {
		return Receipt{}, fmt.Errorf("%w: %d bytes of JSON; Options.MaxValue is %d", ErrTooLarge, len(data), h.opt.MaxValue)
	}
	return h.publish(ctx, topic, key, data)
}

// Remove takes a key out of a topic of last values, such as a vehicle that has
// arrived. Who follows the topic is told; the key need not be there.
func (h *Hub) Remove(ctx context.Context, topic, key string) error {
	_, err := h.publish(ctx, topic, key, nil)
	return err
}

func (h *Hub) publish(ctx context.Context, topic, key string, data []byte) (r Receipt, err error) {
	began := time.Now()
	defer func() { h.meter.publishedIn(began, err) }()
	if err := budget.Ended(ctx); err != nil {
		return r, fmt.Errorf("pubsub: publish: %w", err)
	}
	policy, err := h.policy(topic)
	if err != nil {
		return r, err
	}
	if key != "" || policy.Delivery == Latest {
		if err := checkName("key", key); err != nil {
			return r, err
		}
	}
	kind := kinds[policy.Delivery]
	if data == nil {
		if kind = "d"; policy.Delivery != Latest {
			return r, fmt.Errorf("%w: the topic keeps no keys to be removed: its Delivery is %v", ErrTopic, policy.Delivery)
		}
	}
	p := h.partOf(topic)
	reply, err := h.number(ctx, p, topic, key, kind, data, policy)
	if err != nil {
		return r, err
	}
	h.sendEcho(p, reply)
	if reply.grow {
		h.grow(ctx, p, topic, policy)
	}
	r.Pos = position(reply.epoch, reply.seq)
	if policy.Confirm > 0 {
		r.Confirmed = h.confirmer(reply.run).confirmed(ctx, h, p, reply.run, policy.Confirm)
		h.meter.confirmed(r.Confirmed)
	}
	return r, nil
}

// A numbered is the reply of publish.lua.
type numbered struct {
	status     int64
	epoch      string
	seq        int64
	run, frame string
	grow       bool
}

func parseNumbered(v any) (n numbered, err error) {
	list, _ := v.([]any)
	if len(list) != 6 {
		return n, fmt.Errorf("%w: a publish's reply of %d parts", errFrame, len(list))
	}
	var ok [6]bool
	n.status, ok[0] = list[0].(int64)
	n.epoch, ok[1] = list[1].(string)
	n.seq, ok[2] = list[2].(int64)
	n.run, ok[3] = list[3].(string)
	n.frame, ok[4] = list[4].(string)
	more, all := list[5].(int64)
	n.grow, ok[5] = more == 1, all
	if ok != [6]bool{true, true, true, true, true, true} {
		return n, fmt.Errorf("%w: a publish's reply", errFrame)
	}
	return n, nil
}

// number has the server number and publish a message, and tries until it has an
// answer. The message's id has the script know that it was there before.
func (h *Hub) number(ctx context.Context, p *partition, topic, key, kind string, data []byte, policy *Topic) (numbered, error) {
	ctx, cancel := context.WithTimeout(ctx, h.opt.Wait)
	defer cancel()
	args := []any{p.channel, topic, kind, key, data, rand.Text()[:10], newEpoch(), policy.Keep.Milliseconds(), policy.History, policy.Bytes, policy.Keys}
	var since time.Time // of the first try that may have been carried out
	again := false
	for wait := 5 * time.Millisecond; ; wait = min(2*wait, 100*time.Millisecond) {
		var tried time.Time
		v, err := h.inTurn(ctx, again, func() (any, error) {
			tried = time.Now()
			waited := int64(0)
			if !since.IsZero() {
				waited = max(tried.Sub(since).Milliseconds(), 1)
			}
			return h.paged(topic, func(pages int) (any, error) {
				keys := []string{p.key(topic), p.sideKey()}
				if policy.Delivery == Latest {
					keys = append(keys, p.page(topic, pageOf(key, pages)))
				}
				return h.run(ctx, p, publishScript, keys, append(args[:len(args):len(args)], waited, pages)...)
			})
		})
		if err == nil {
			n, err := parseNumbered(v)
			if err == nil && n.status == full && h.sweep(ctx, p, topic, policy) {
				continue
			}
			return n, orStatus(n, err)
		}
		if answered(err) {
			return numbered{}, err
		}
		if since.IsZero() && !unsent(err) {
			since = tried
		}
		again = true
		h.meter.retries.Inc()
		if !pause(ctx, wait) {
			return numbered{}, err
		}
	}
}

// triers is how many publishes are tried again at a time, for each processor: of the ten
// connections that a client has for each. When Redis is back, those that have waited
// would take all of them, and the topics that are to be read, for all who follow them,
// would come after them.
const triers = 4

// inTurn runs a try: the first one at once.
func (h *Hub) inTurn(ctx context.Context, again bool, f func() (any, error)) (any, error) {
	if !again {
		return f()
	}
	select {
	case h.tries <- struct{}{}:
		defer func() { <-h.tries }()
		return f()
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, context.Cause(ctx))
	}
}

// sweep removes what has had its time from a topic that is full, and reports whether it
// has: it reads all of the topic, so a process does it once a second at most.
func (h *Hub) sweep(ctx context.Context, p *partition, topic string, policy *Topic) bool {
	now, last := h.since(), h.swept.Load()
	if last != 0 && time.Duration(now-last) < time.Second || !h.swept.CompareAndSwap(last, now) {
		return false
	}
	_, err := h.read(ctx, p, topic, policy, 0)
	return err == nil
}

func orStatus(n numbered, err error) error {
	switch {
	case err != nil:
		return err
	case n.status == unsure:
		return fmt.Errorf("%w: %w", ErrUnavailable, errSent)
	case n.status == full:
		return fmt.Errorf("%w: Topic.Keys are in use", ErrFull)
	case n.status != published && n.status != before:
		return fmt.Errorf("%w: status %d", errFrame, n.status)
	}
	return nil
}
