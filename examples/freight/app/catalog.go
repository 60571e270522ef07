package app

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/transload/transload/cache"
	"github.com/transload/transload/examples/freight/atlas"
	"github.com/transload/transload/examples/freight/store"
)

// found is how many loads a search shows.
const found = 50

// A Catalog is what of the database is read most, cached: loads, carriers, and the
// first loads of each search; and where loads wait, to find those near a truck.
type Catalog struct {
	store    *store.Store
	cache    *cache.Store
	loads    *cache.Cache[store.Load]
	carriers *cache.Cache[store.Carrier]
	searches *cache.Cache[[]string]
	origins  *cache.Geo
	log      *slog.Logger
}

// guard bounds what a process asks of the database for the cache.
var guard = cache.Limit{AtOnce: 12, PerSecond: 400, Ramp: 5 * time.Second}

func (a *App) catalog(o Options) error {
	g, err := cache.NewGuard(guard)
	if err != nil {
		return err
	}
	s, err := cache.Open(o.Link.Client, cache.Options{Guard: g, Logger: o.Logger})
	if err != nil {
		return err
	}
	c := &Catalog{store: o.Store, cache: s, log: o.Logger}
	var errs [4]error
	c.loads, errs[0] = cache.New(s, "load", cache.Config[store.Load]{})
	c.carriers, errs[1] = cache.New(s, "carrier", cache.Config[store.Carrier]{})
	c.searches, errs[2] = cache.New(s, "search", cache.Config[[]string]{TTL: time.Minute})
	c.origins, errs[3] = cache.NewGeo(s, "origin", cache.GeoConfig{TTL: originsFor, Region: 5})
	a.Catalog = c
	return errors.Join(errs[:]...)
}

// missing turns the database's word for it into the cache's, and back.
func missing(err error) error {
	switch {
	case errors.Is(err, store.ErrNotFound):
		return cache.ErrNotFound
	case errors.Is(err, cache.ErrNotFound), errors.Is(err, cache.ErrID): // no load has such a name
		return store.ErrNotFound
	}
	return err
}

// Load returns a load.
func (c *Catalog) Load(ctx context.Context, id string) (store.Load, cache.Meta, error) {
	l, meta, err := c.loads.Get(ctx, id, func(ctx context.Context) (store.Load, error) {
		l, err := c.store.Load(ctx, id)
		return l, missing(err)
	})
	return l, meta, missing(err)
}

// Carrier returns a driver as shippers see him.
func (c *Catalog) Carrier(ctx context.Context, id string) (store.Carrier, error) {
	v, _, err := c.carriers.Get(ctx, id, func(ctx context.Context) (store.Carrier, error) {
		v, err := c.store.Carrier(ctx, id)
		return v, missing(err)
	})
	return v, missing(err)
}

// Search returns open loads, the newest first. An empty city is any.
func (c *Catalog) Search(ctx context.Context, from, to string) ([]store.Load, error) {
	ids, _, err := c.searches.Get(ctx, searchID(from, to), func(ctx context.Context) ([]string, error) {
		ids, err := c.store.Search(ctx, from, to, found)
		if ids == nil {
			ids = []string{}
		}
		return ids, err
	})
	if err != nil {
		return nil, err
	}
	return c.Loads(ctx, ids)
}

// Loads returns those of some ids that take bids, in their order.
func (c *Catalog) Loads(ctx context.Context, ids []string) (list []store.Load, err error) {
	all, err := c.loads.GetMany(ctx, ids, c.store.Loads)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		if l, ok := all[id]; ok && l.Open() {
			list = append(list, l)
		}
	}
	return list, nil
}

func searchID(from, to string) string { return from + "." + to }

// posted says that a load was entered: it is in four searches, and waits somewhere.
func (c *Catalog) posted(ctx context.Context, l store.Load) {
	c.searchesChanged(ctx, l)
	c.place(ctx, l)
}

// booked says that a load takes no bids any more.
func (c *Catalog) booked(ctx context.Context, l store.Load) {
	c.forget(ctx, l.ID)
	c.searchesChanged(ctx, l)
	c.told("geo", c.origins.Remove(ctx, l.ID))
	c.told("invalidate", c.carriers.Invalidate(ctx, l.Driver))
}

// forget says that a load has changed.
func (c *Catalog) forget(ctx context.Context, load string) {
	c.told("invalidate", c.loads.Invalidate(ctx, load))
}

func (c *Catalog) searchesChanged(ctx context.Context, l store.Load) {
	c.told("invalidate", c.searches.Invalidate(ctx, searchID(l.From, l.To), searchID(l.From, ""), searchID("", l.To), searchID("", "")))
}

func (c *Catalog) place(ctx context.Context, l store.Load) {
	if city, ok := atlas.Find(l.From); ok {
		c.told("geo", c.origins.Set(ctx, l.ID, city.Lon, city.Lat))
	}
}

// told logs what Redis has not heard. Invalidations are kept by the cache and told
// later; a place that was not noted is, by Run.
func (c *Catalog) told(op string, err error) {
	if err != nil {
		c.log.Debug("redis was not told at once", "workload", "cache", "op", op, "err", err)
	}
}

// The places of loads are kept for originsFor, and noted again each originsEvery: that
// fills a Redis that came back empty.
const (
	originsFor   = 10 * time.Minute
	originsEvery = time.Minute
)

// Run notes where loads wait, until ctx is done.
func (c *Catalog) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		loads, err := c.store.OpenLoads(ctx)
		if err != nil && ctx.Err() == nil {
			c.log.Warn("open loads were not read", "op", "geo", "err", err)
		}
		for _, l := range loads {
			c.place(ctx, l)
		}
		sleep(ctx, originsEvery)
	}
	return nil
}

// Near returns the loads within so many km of a place, the nearest first.
func (c *Catalog) Near(ctx context.Context, lat, lon, km float64) ([]store.Load, error) {
	places, err := c.origins.Near(ctx, lon, lat, km*1000, found)
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(places))
	for i, p := range places {
		ids[i] = p.ID
	}
	return c.Loads(ctx, ids)
}

// Probe tries the cache: see cache.Store.Probe.
func (c *Catalog) Probe(ctx context.Context) error { return c.cache.Probe(ctx) }

// Metrics returns a collector of the cache's metrics.
func (c *Catalog) Metrics() prometheus.Collector { return c.cache.Metrics() }

// Close ends the cache.
func (c *Catalog) Close() error { return c.cache.Close() }
