package ratelimit

import (
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
)

// bubble runs a test in no real time: sleeping ages keys too.
func bubble(t *testing.T, f func(t *testing.T, k *kit)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, newKit(t)) })
}

// A kit is a Redis, whose faults are made by a hook, and limiters on it.
type kit struct {
	t    *testing.T
	mini *miniredis.Miniredis
	fault
}

func newKit(t *testing.T) *kit {
	m := miniredis.NewMiniRedis()
	m.ClockTTL(true)
	t.Cleanup(m.Close)
	return &kit{t: t, mini: m}
}

// client returns an instance's own client.
func (k *kit) client(change ...func(*redis.Options)) *redis.Client {
	o := &redis.Options{
		Addr: "127.0.0.1:6379", Protocol: 2, MaxRetries: -1, DisableIdentity: true, ContextTimeoutEnabled: true,
		Dialer: func(context.Context, string, string) (net.Conn, error) { return k.mini.Dial() },
	}
	for _, f := range change {
		f(o)
	}
	c := redis.NewClient(o)
	c.AddHook(&k.fault)
	k.t.Cleanup(func() { _ = c.Close() })
	return c
}

func (k *kit) limiter(p []Policy, opts ...Option) *Limiter {
	k.t.Helper()
	l, err := New(k.client(), p, opts...)
	if err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(func() { _ = l.Close(context.Background()) })
	return l
}

// A fault is what becomes of commands.
type fault struct {
	mode atomic.Int32
	sent atomic.Int64
}

const (
	up     int32 = iota
	down         // refused
	loses        // carried out, and the reply is lost
	hangs        // no answer, and not carried out
	broken       // the reply makes no sense
)

func (f *fault) DialHook(next redis.DialHook) redis.DialHook { return next }

func (f *fault) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		f.sent.Add(1)
		switch f.mode.Load() {
		case down:
			return &net.OpError{Op: "dial", Err: errors.New("connection refused")}
		case loses:
			_ = next(ctx, cmd)
			return io.EOF
		case hangs:
			<-ctx.Done()
			return ctx.Err()
		case broken:
			switch c := cmd.(type) {
			case once:
				c.SetVal([]int64{1})
			case onceCount:
				c.SetVal(0.5)
			}
			return nil
		}
		return next(ctx, cmd)
	}
}

func (f *fault) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (k *kit) take(l *Limiter, subject string, opts ...TakeOption) Decision {
	k.t.Helper()
	d, err := l.Take(k.t.Context(), subject, opts...)
	if err != nil {
		k.t.Fatalf("take: %v", err)
	}
	return d
}

// granted takes n times and returns how often it was allowed.
func (k *kit) granted(l *Limiter, subject string, n int) (allowed int) {
	k.t.Helper()
	for range n {
		if k.take(l, subject).Allowed {
			allowed++
		}
	}
	return allowed
}

// counted is what Redis has of a subject's first policy.
func (k *kit) counted(l *Limiter, subject string) string {
	k.t.Helper()
	if n, err := k.mini.ZScore(l.key(subject, 0), "n"); err == nil {
		return strconv.FormatFloat(n, 'f', -1, 64)
	}
	return ""
}

// count has a subject's first policy, a window, count so many, without an expiry.
func (k *kit) count(l *Limiter, subject string, n float64) {
	k.t.Helper()
	key := l.key(subject, 0)
	k.mini.Del(key)
	_, err := k.mini.ZAdd(key, n, "n")
	must(k.t, err)
}

// key is where a subject's counter is.
func (l *Limiter) key(subject string, policy int) string {
	q := &query{}
	l.address(q, subject)
	return q.tag + l.rules[policy].suffix
}

// recovered waits until the breaker has let someone through.
func (k *kit) recovered(l *Limiter) {
	k.mode.Store(up)
	time.Sleep(200 * time.Millisecond)
}

func perMinute(n int64) []Policy { return []Policy{{Name: "per-minute", Limit: n, Per: time.Minute}} }

// patient is a budget for a busy machine: here Redis is to decide.
var patient = WithBudget(20 * time.Second)

func onReal(t *testing.T, c redis.UniversalClient, p []Policy, opts ...Option) *Limiter {
	t.Helper()
	l, err := New(c, p, append([]Option{patient}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close(context.Background()) })
	return l
}

func take(t *testing.T, l *Limiter, subject string, opts ...TakeOption) Decision {
	t.Helper()
	d, err := l.Take(t.Context(), subject, opts...)
	if err != nil || d.Source == FromOutage {
		t.Fatalf("got %+v, %v; want Redis to decide", d, err)
	}
	return d
}
