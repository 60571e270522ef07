package crash

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/migrate"
)

// client is a member in this process, without load, for what a row itself writes.
func (m *migration) client() *migrate.Client {
	m.t.Helper()
	c, err := migrate.Open(m.t.Context(), migrate.Options{Source: config(m.t, m.env, protocol.Source), Target: config(m.t, m.env, protocol.Target)})
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { _ = c.Close() })
	ctx, cancel := context.WithTimeout(m.t.Context(), within)
	defer cancel()
	if err := c.Ready(ctx); err != nil {
		m.t.Fatal(err)
	}
	return c
}

// TestKeysThatExpireInTheCopyAndInAHoldDieOnBothSides keeps writing keys that live
// for a moment, of every type, while the first pass, a cutover and a rollback go on.
// In the end none is left on either side: none has lost its expiry on the way, and
// none has come back.
func TestKeysThatExpireInTheCopyAndInAHoldDieOnBothSides(t *testing.T) {
	t.Parallel()
	turn(t)
	m := begin(t, standalone(t, redistest.Options{}), standalone(t, redistest.Options{}))
	m.seed(protocol.Source, 50)
	m.app(1)
	const longest = 3 * time.Second
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	c := m.client()
	wg.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			if err := mortal(context.WithoutCancel(ctx), c, i, time.Millisecond+rand.N(longest)); err != nil {
				t.Errorf("the app was shown %v", err)
				return
			}
			time.Sleep(2 * time.Millisecond)
		}
	})
	defer wg.Wait()
	defer stop()
	m.shadow()
	m.cutover(m.operator(), 50)
	m.cutover(m.operator(), 100)
	m.rollback(m.operator())
	stop()
	wg.Wait()
	time.Sleep(longest)
	for _, s := range protocol.Sides {
		seldom(t, within, func() error {
			if keys, err := m.plain(s).Keys(t.Context(), "cache:{mortal*").Result(); err != nil || len(keys) > 0 {
				return fmt.Errorf("%v: %d keys are left, such as %v; %w", s, len(keys), keys[:min(3, len(keys))], err)
			}
			return nil
		})
	}
	m.equal()
	unhurt(t, m.verdict())
}

// mortal writes a key of some type that dies after d.
func mortal(ctx context.Context, c redis.UniversalClient, i int, d time.Duration) error {
	key := fmt.Sprintf("cache:{mortal%d}", i%1000)
	_, err := c.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.Del(ctx, key)
		ofType(ctx, p, key, i, 5)
		p.PExpire(ctx, key, d)
		return nil
	})
	return err
}

// types is how many types ofType knows.
const types = 6

// ofType writes a value of the i-th type with n elements to a key that is not
// there.
func ofType(ctx context.Context, p redis.Pipeliner, key string, i, n int) {
	list := make([]any, n)
	for j := range list {
		list[j] = fmt.Sprintf("element %d of %d, of a length that makes many of them large", j, i)
	}
	switch i % types {
	case 0:
		p.Set(ctx, key, fmt.Sprint(list...), 0)
	case 1:
		p.RPush(ctx, key, list...)
	case 2:
		p.SAdd(ctx, key, list...)
	case 3:
		for j, el := range list {
			p.HSet(ctx, key, el, j)
		}
	case 4:
		for j, el := range list {
			p.ZAdd(ctx, key, redis.Z{Score: float64(j), Member: el})
		}
	case 5:
		for j, el := range list {
			p.XAdd(ctx, &redis.XAddArgs{Stream: key, ID: fmt.Sprintf("1-%d", j+1), Values: []any{"e", el}})
		}
	}
}

// TestKeysRenewedAfterTheFlipOutliveTheirOldExpiry moves keys that are about to
// expire, and renews them on the target while the source hangs. Their old expiry
// passes there without anybody's help: when it goes on it has lost them, and that
// must reach nobody.
func TestKeysRenewedAfterTheFlipOutliveTheirOldExpiry(t *testing.T) {
	t.Parallel()
	rest := turn(t)
	source := standalone(t, redistest.Options{})
	m := begin(t, source, standalone(t, redistest.Options{}))
	m.seed(protocol.Source, 20)
	m.app(1)
	c := m.client()
	m.shadow()
	const keys = 300
	dies := time.Now().Add(25 * time.Second) // on a busy machine the flip may take some
	for i := range keys {
		if err := c.Set(t.Context(), name(i), "old", time.Until(dies)).Err(); err != nil {
			t.Fatal(err)
		}
	}
	m.cutover(m.operator(), 100)
	rest()
	time.Sleep(time.Until(dies.Add(-5 * time.Second)))
	thawed := make(chan struct{})
	go func() { // the row waits for it
		defer close(thawed)
		freeze(t, source.servers[0], 7*time.Second)
	}()
	renewed := 0
	for i := range keys {
		if renew(t, c, i) {
			renewed++
		}
	}
	if renewed == 0 {
		t.Fatal("no key lived to be renewed: the flip took too long")
	}
	<-thawed
	m.told("everything made good", healed)
	m.equal()
	m.rollback(m.operator())
	m.equal()
	for _, s := range protocol.Sides {
		left := 0
		for i := range keys {
			if ttl := m.plain(s).TTL(t.Context(), name(i)).Val(); ttl == -1 || ttl > time.Minute {
				left++
			}
		}
		if left != renewed {
			t.Errorf("%v: got %d keys that were renewed; want %d", s, left, renewed)
		}
	}
	unhurt(t, m.verdict())
}

func name(i int) string { return fmt.Sprintf("sess:{renewed%d}", i) }

// renew gives a key a longer life, if it lives.
func renew(t *testing.T, c redis.UniversalClient, i int) bool {
	t.Helper()
	var ok bool
	var err error
	switch ctx := t.Context(); i % 3 {
	case 0:
		ok, err = c.Persist(ctx, name(i)).Result()
	case 1:
		ok, err = c.Expire(ctx, name(i), time.Hour).Result()
	default:
		ok, err = c.SetXX(ctx, name(i), "new", time.Hour).Result()
	}
	if err != nil {
		t.Errorf("the app was shown %v", err)
	}
	return ok
}

// TestValuesThatChangeTypeInMidCopyEndEqual has keys, small ones and such as are
// copied in pieces, turn into other types again and again while they are copied and
// while they move.
func TestValuesThatChangeTypeInMidCopyEndEqual(t *testing.T) {
	t.Parallel()
	turn(t)
	m := begin(t, standalone(t, redistest.Options{}), standalone(t, redistest.Options{}))
	m.seed(protocol.Source, 20)
	m.app(1)
	c := m.client()
	const keys = 12
	var last [keys]int // the type that was written last
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	change := func(i int) error {
		k, kind := i%keys, rand.IntN(types)
		key := fmt.Sprintf("turn:{%d}", k)
		size := 5
		if k%2 == 0 {
			size = 6000 // beyond what is copied whole
		}
		_, err := c.TxPipelined(context.WithoutCancel(ctx), func(p redis.Pipeliner) error {
			p.Del(context.WithoutCancel(ctx), key)
			ofType(context.WithoutCancel(ctx), p, key, kind, size)
			return nil
		})
		last[k] = kind
		return err
	}
	for i := range keys {
		if err := change(i); err != nil {
			t.Fatal(err)
		}
	}
	wg.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			if err := change(i); err != nil {
				t.Errorf("the app was shown %v", err)
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
	})
	defer wg.Wait()
	defer stop()
	m.shadow()
	m.cutover(m.operator(), 100)
	m.rollback(m.operator())
	stop()
	wg.Wait()
	m.equal()
	kinds := [types]string{"string", "list", "set", "hash", "zset", "stream"}
	for _, s := range protocol.Sides {
		for k, kind := range last {
			if got := m.plain(s).Type(t.Context(), fmt.Sprintf("turn:{%d}", k)).Val(); got != kinds[kind] {
				t.Errorf("%v: key %d: got a %s; want a %s", s, k, got, kinds[kind])
			}
		}
	}
	unhurt(t, m.verdict())
}
