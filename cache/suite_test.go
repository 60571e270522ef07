package cache

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/redistest"
)

// suite is the contract of the package on any client. Each part has two processes.
func suite(t *testing.T, c redis.UniversalClient) {
	prefix := newNonce()
	for name, f := range map[string]func(*testing.T, *pair){
		"a value is loaded once":        loadedOnce,
		"what does not exist":           absent,
		"invalidate":                    invalidated,
		"invalidated while loaded":      invalidatedWhileLoaded,
		"tags":                          tags,
		"tag raised while loaded":       tagRaisedWhileLoaded,
		"many":                          manyIDs,
		"a script that runs twice":      scriptsTwice,
		"a right that was lost":         rightLost,
		"every key expires":             everyKeyExpires,
		"renewed before it expires":     renewed,
		"another version of the type":   otherVersion,
		"geo across regions":            geoAcross,
		"geo moves":                     geoMoves,
		"a probe":                       func(t *testing.T, p *pair) { p.ok(p.a.kind.s.Probe(t.Context())) },
		"many processes miss one value": stampede,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f(t, newPair(t, c, prefix+"-"+strings.ReplaceAll(name, " ", "-")))
		})
	}
}

func TestSuiteOnMiniredis(t *testing.T) {
	_, s := mini(t, patient())
	suite(t, miniClient(t, s))
}

func newNonce() string { return fmt.Sprintf("%x", newToken()) }

// A pair is two processes with one database.
type pair struct {
	t    *testing.T
	c    redis.UniversalClient
	a, b *Cache[truck]
	db   *database
	id   string // of one truck, with 7 miles
}

func newPair(t *testing.T, c redis.UniversalClient, id string) *pair {
	p := &pair{t: t, c: c, db: newDatabase(0), id: id}
	p.db.put(id, 7)
	p.a, p.b = p.process(Config[truck]{}), p.process(Config[truck]{})
	return p
}

func (p *pair) process(c Config[truck]) *Cache[truck] {
	return trucksOn(p.t, storeOn(p.t, p.c, patient()), c)
}

func (p *pair) ok(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *pair) key() string { return entryKey("truck", p.id) }

// sees waits until a process gives miles: at once, or when memory is that old where
// servers do not tell of changes.
func (p *pair) sees(c *Cache[truck], miles int) {
	p.t.Helper()
	redistest.Eventually(p.t, within, func() error {
		v, _, err := c.Get(p.t.Context(), p.id, p.db.load(p.id))
		if err != nil || v.Miles != miles {
			return fmt.Errorf("got %+v, %w; want %d miles", v, err, miles)
		}
		return nil
	})
}

func loadedOnce(t *testing.T, p *pair) {
	m := gets(t, p.a, p.db, p.id, 7)
	is(t, m, FromLoader, false)
	m = gets(t, p.b, p.db, p.id, 7)
	is(t, m, FromRedis, false)
	if m.Age < 0 || m.Age > within {
		t.Errorf("got an age of %v", m.Age)
	}
	for range 3 {
		gets(t, p.b, p.db, p.id, 7)
	}
	p.db.asked(t, 1)
}

func absent(t *testing.T, p *pair) {
	none := p.id + "-none"
	for _, c := range []*Cache[truck]{p.a, p.b, p.a} {
		if _, _, err := c.Get(t.Context(), none, p.db.load(none)); !errors.Is(err, ErrNotFound) {
			t.Errorf("got %v; want ErrNotFound", err)
		}
	}
	p.db.asked(t, 1)
	p.db.put(none, 3)
	p.ok(p.a.Invalidate(t.Context(), none))
	gets(t, p.a, p.db, none, 3)
}

func invalidated(t *testing.T, p *pair) {
	gets(t, p.a, p.db, p.id, 7)
	gets(t, p.b, p.db, p.id, 7)
	p.db.put(p.id, 8)
	p.ok(p.a.Invalidate(t.Context(), p.id))
	gets(t, p.a, p.db, p.id, 8) // who invalidates sees it at once
	p.sees(p.b, 8)
	p.db.asked(t, 2)
}

// invalidatedWhileLoaded has a value change while it is loaded: what was loaded is
// nobody's after the invalidation.
func invalidatedWhileLoaded(t *testing.T, p *pair) {
	loading, changed := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		_, _, err := p.a.Get(t.Context(), p.id, func(ctx context.Context) (truck, error) {
			v, err := p.db.load(p.id)(ctx)
			close(loading)
			<-changed
			return v, err
		})
		if err != nil {
			t.Error(err)
		}
	})
	<-loading
	p.db.put(p.id, 8)
	p.ok(p.b.Invalidate(t.Context(), p.id))
	close(changed)
	wg.Wait()
	gets(t, p.b, p.db, p.id, 8)
	p.sees(p.a, 8)
}

func tags(t *testing.T, p *pair) {
	city, other := p.id+"-city", p.id+"-other"
	get := func(c *Cache[truck], miles int, tags ...string) {
		t.Helper()
		redistest.Eventually(t, within, func() error {
			v, _, err := c.Get(t.Context(), p.id, p.db.load(p.id), tags...)
			if err != nil || v.Miles != miles {
				return fmt.Errorf("got %+v, %w; want %d miles", v, err, miles)
			}
			return nil
		})
	}
	get(p.a, 7, city, other)
	get(p.b, 7, city, other)
	p.db.asked(t, 1)
	p.db.put(p.id, 8)
	p.ok(p.a.kind.s.InvalidateTag(t.Context(), other))
	get(p.a, 8, city, other)
	get(p.b, 8, city, other)
	p.db.asked(t, 2)
	p.ok(p.c.Del(t.Context(), tagKey(city)).Err()) // evicted, say
	time.Sleep(time.Millisecond)
	redistest.Eventually(t, within, func() error {
		get(p.b, 8, city, other)
		if p.db.calls.Load() != 3 {
			return errors.New("want that a version that is gone does not count")
		}
		return nil
	})
}

func tagRaisedWhileLoaded(t *testing.T, p *pair) {
	tag := p.id + "-city"
	_, _, err := p.a.Get(t.Context(), p.id, func(ctx context.Context) (truck, error) {
		v, err := p.db.load(p.id)(ctx)
		p.db.put(p.id, 8)
		return v, errors.Join(err, p.b.kind.s.InvalidateTag(ctx, tag))
	}, tag)
	p.ok(err)
	v, _, err := p.b.Get(t.Context(), p.id, p.db.load(p.id), tag)
	if err != nil || v.Miles != 8 {
		t.Errorf("got %+v, %v; want what was there when the tag was raised", v, err)
	}
}

func manyIDs(t *testing.T, p *pair) {
	var ids []string
	for i := range 30 { // slots on every server
		ids = append(ids, fmt.Sprint(p.id, "-", i))
		p.db.put(ids[i], i)
	}
	none := p.id + "-none"
	gets(t, p.a, p.db, ids[4], 4)
	p.db.calls.Store(0)
	for _, c := range []*Cache[truck]{p.a, p.b, p.a, p.b} {
		got, err := c.GetMany(t.Context(), append(slices.Clone(ids), none, ids[0]), p.db.loadMany)
		if err != nil || len(got) != len(ids) || got[ids[4]].Miles != 4 || got[ids[29]].Miles != 29 {
			t.Fatalf("got %d, %v; want %d", len(got), err, len(ids))
		}
	}
	p.db.asked(t, 1)
	p.db.put(ids[1], 100)
	p.ok(p.a.Invalidate(t.Context(), ids...))
	got, err := p.a.GetMany(t.Context(), ids[:2], p.db.loadMany)
	if err != nil || got[ids[1]].Miles != 100 {
		t.Errorf("got %v, %v; want 100 miles", got, err)
	}
	p.db.asked(t, 2)
}

// scriptsTwice runs each script again, as a client does whose reply was lost.
func scriptsTwice(t *testing.T, p *pair) {
	r, ctx := p.a.kind.s.redis, t.Context()
	token, key := newToken(), p.key()
	for range 2 {
		if state, _, err := r.claim(ctx, key, token, "", within); err != nil || state != ours {
			t.Fatalf("claim: got %v, %v; want that it is ours", state, err)
		}
	}
	if state, _, err := r.claim(ctx, key, newToken(), "", within); err != nil || state != others {
		t.Errorf("another's claim: got %v, %v; want others", state, err)
	}
	e := entry{kind: kindValue, token: token, value: []byte(`{"Miles":7}`)}
	for range 2 {
		if ok, err := r.fill(ctx, key, &e, within); err != nil || !ok {
			t.Errorf("fill: got %v, %v; want true", ok, err)
		}
	}
	for range 2 {
		if ok, err := r.restore(ctx, key, e.raw(), within); err != nil || !ok {
			t.Errorf("restore: got %v, %v; want true", ok, err)
		}
	}
	gets(t, p.b, p.db, p.id, 7)
	for range 2 {
		p.ok(r.invalidate(ctx, key, within))
	}
	// What comes later than the invalidation does nothing.
	if ok, err := r.fill(ctx, key, &e, within); err != nil || ok {
		t.Errorf("a late fill: got %v, %v; want false", ok, err)
	}
	if ok, err := r.restore(ctx, key, e.raw(), within); err != nil || ok {
		t.Errorf("a late restore: got %v, %v; want false", ok, err)
	}
	tag := p.id
	first, err := r.stand(ctx, []string{tag, tag}, within)
	p.ok(err)
	p.ok(r.bump(ctx, tag))
	p.ok(r.bump(ctx, tag))
	then, err := r.stand(ctx, []string{tag}, within)
	p.ok(err)
	if first[0] != first[1] || then[0] <= first[0] {
		t.Errorf("got versions %v, then %v; want them to stand, and to rise", first, then)
	}
}

// rightLost lets the right to fill pass to another while the first still loads.
func rightLost(t *testing.T, p *pair) {
	r, ctx := p.a.kind.s.redis, t.Context()
	slow, quick := newToken(), newToken()
	if state, _, err := r.claim(ctx, p.key(), slow, "", 10*time.Millisecond); err != nil || state != ours {
		t.Fatalf("got %v, %v; want ours", state, err)
	}
	redistest.Eventually(t, within, func() error {
		if state, _, err := r.claim(ctx, p.key(), quick, "", within); err != nil || state != ours {
			return fmt.Errorf("got %v, %w; want that the right ends", state, err)
		}
		return nil
	})
	e := entry{kind: kindValue, token: slow}
	if ok, err := r.fill(ctx, p.key(), &e, within); err != nil || ok {
		t.Errorf("the first: got %v, %v; want false", ok, err)
	}
	r.release(ctx, p.key(), slow)
	e.token = quick
	if ok, err := r.fill(ctx, p.key(), &e, within); err != nil || !ok {
		t.Errorf("the second: got %v, %v; want true", ok, err)
	}
}

func everyKeyExpires(t *testing.T, p *pair) {
	expires := func(key string, least, most time.Duration) {
		t.Helper()
		if got := p.c.PTTL(t.Context(), key).Val(); got < least || got > most {
			t.Errorf("%s: got an expiry of %v; want %v to %v", key, got, least, most)
		}
	}
	tag := p.id + "-tag"
	_, _, err := p.a.Get(t.Context(), p.id, func(ctx context.Context) (truck, error) {
		expires(lockKey(p.key()), time.Second, 2*time.Minute)
		return p.db.load(p.id)(ctx)
	}, tag)
	p.ok(err)
	if n := p.c.Exists(t.Context(), lockKey(p.key())).Val(); n != 0 {
		t.Error("the right to fill is still taken")
	}
	expires(p.key(), 4*time.Minute, 5*time.Minute)
	expires(tagKey(tag), 5*time.Minute, 13*time.Minute)
	p.ok(p.a.Invalidate(t.Context(), p.id))
	p.ok(p.a.kind.s.InvalidateTag(t.Context(), tag))
	expires(p.key(), 5*time.Minute, 6*time.Minute)
	expires(tagKey(tag), 59*time.Minute, time.Hour)
	geo := p.geo()
	p.ok(geo.Set(t.Context(), p.id, 13, 52))
	places, times := geo.regionKeys(geo.grid.region(13, 52))
	for _, key := range []string{places, times, geo.recordKey(p.id)} {
		expires(key, 4*time.Minute, 5*time.Minute)
	}
}

// renewed lets a value come due: it is answered as it was, and loaded once.
func renewed(t *testing.T, p *pair) {
	c := Config[truck]{TTL: time.Hour, Soft: 20 * time.Millisecond}
	p.a, p.b = p.process(c), p.process(c)
	gets(t, p.a, p.db, p.id, 7)
	p.db.put(p.id, 8)
	p.sees(p.a, 8)
	p.sees(p.b, 8)
	if got := counted(p.a, "loader") + counted(p.b, "loader"); got != 1 {
		t.Errorf("got %v callers who waited for the loader; want the first alone", got)
	}
}

func otherVersion(t *testing.T, p *pair) {
	next := p.process(Config[truck]{Version: 1})
	gets(t, p.a, p.db, p.id, 7)
	p.db.put(p.id, 8)
	gets(t, next, p.db, p.id, 8)
	p.ok(p.c.Set(t.Context(), p.key(), "nonsense", time.Minute).Err())
	began := time.Now()
	p.sees(p.b, 8)
	if took := time.Since(began); took > within/2 {
		t.Errorf("got %v; want that nobody waits for nonsense", took)
	}
	p.ok(p.c.Del(t.Context(), p.key()).Err())
	p.ok(p.c.RPush(t.Context(), p.key(), "a list").Err())
	p.ok(p.c.PExpire(t.Context(), p.key(), time.Minute).Err())
	p.db.put(p.id, 9)
	c := p.process(Config[truck]{})
	gets(t, c, p.db, p.id, 9)
}

// stampede has two processes miss one value 200 times: it is loaded once.
func stampede(t *testing.T, p *pair) {
	p.db.delay = 20 * time.Millisecond
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			v, _, err := []*Cache[truck]{p.a, p.b}[i%2].Get(t.Context(), p.id, p.db.load(p.id))
			if err != nil || v.Miles != 7 {
				t.Errorf("got %+v, %v; want 7 miles", v, err)
			}
		})
	}
	wg.Wait()
	p.db.asked(t, 1)
}
