package cache

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// A GeoConfig says how a Geo lives. Zero fields mean the default.
type GeoConfig struct {
	// TTL is how long a place is kept that is not set again. At least 1s; the default is
	// 5m.
	TTL time.Duration
	// Region is the edge of a region, in degrees: at most a few regions should be within
	// the usual radius. From 0.01 to 90; the default is 1, some 111 km from north to
	// south.
	Region float64
	// Regions bounds how many a radius may touch. The default is 100.
	Regions int
}

// A Geo knows where things are, and what is near. The places of each region have a key
// of their own, so that a fleet's are spread over a cluster; Near asks all regions
// that its radius touches. An id is seen by who reads Redis, so it should tell nothing
// of a person. A Geo is safe for concurrent use.
type Geo struct {
	s    *Store
	name string
	ttl  time.Duration
	grid grid
}

// A Place is where a thing is.
type Place struct {
	ID       string
	Lon, Lat float64 // degrees
	Distance float64 // from where Near was asked for, in metres
}

// NewGeo makes a Geo. Its name is as that of a Cache.
func NewGeo(s *Store, name string, c GeoConfig) (*Geo, error) {
	setDefault(&c.TTL, 5*time.Minute)
	setDefault(&c.Region, 1)
	setDefault(&c.Regions, 100)
	err := errors.Join(
		bad(c.TTL < time.Second || c.TTL > longest, "TTL: %v is not between 1s and %v", c.TTL, longest),
		bad(!(c.Region >= 0.01 && c.Region <= 90), "Region: %v is not between 0.01 and 90 degrees", c.Region),
		bad(c.Regions < 1 || c.Regions > 10_000, "Regions: %d is not between 1 and 10,000", c.Regions),
		checkName(name))
	if err == nil {
		err = s.name(name)
	}
	if err != nil {
		return nil, fmt.Errorf("cache: geo: %w", err)
	}
	return &Geo{s: s, name: name, ttl: c.TTL, grid: newGrid(c.Region, c.Regions)}, nil
}

func (g *Geo) recordKey(id string) string { return geoPrefix + "at:{" + g.name + ":" + id + "}" }

func (g *Geo) regionKeys(region string) (places, times string) {
	return geoPrefix + "in:{" + g.name + ":" + region + "}", geoPrefix + "seen:{" + g.name + ":" + region + "}"
}

// Set says where a thing is: longitude and latitude in degrees. It is entered in its
// region first, and then in its own record, which decides where it is: whoever asks
// meanwhile finds it where it was. An entry that it leaves in another region counts
// no more, and goes when it was not seen there for TTL.
//
// ErrUnavailable: nobody knows whether it was set. Set it again.
func (g *Geo) Set(ctx context.Context, id string, lon, lat float64) error {
	if err := errors.Join(checkID("id", id), checkPlace(lon, lat)); err != nil {
		return fmt.Errorf("geo: set: %w", err)
	}
	region := g.grid.region(lon, lat)
	places, times := g.regionKeys(region)
	if _, err := g.s.redis.run(ctx, enterScript, []string{places, times}, number(lon), number(lat), id, g.ttl.Milliseconds()); err != nil {
		return fmt.Errorf("geo: set: %w", err)
	}
	record := strings.Join([]string{region, number(lon), number(lat)}, " ")
	if err := g.process(ctx, redis.NewStatusCmd(ctx, "set", g.recordKey(id), record, "px", g.ttl.Milliseconds())); err != nil {
		return fmt.Errorf("geo: set: %w", err)
	}
	return nil
}

// Remove says that a thing is nowhere.
func (g *Geo) Remove(ctx context.Context, id string) error {
	err := checkID("id", id)
	if err == nil {
		err = g.process(ctx, redis.NewIntCmd(ctx, "del", g.recordKey(id)))
	}
	if err != nil {
		return fmt.Errorf("geo: remove: %w", err)
	}
	return nil
}

func (g *Geo) process(ctx context.Context, cmd redis.Cmder) error {
	_, err := call(ctx, g.s.redis, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, g.s.redis.c.Process(ctx, cmd)
	})
	return err
}

// Near returns what is within so many metres of a place, nearest first, at most limit.
// It takes two round trips, to as many servers as the regions are on.
//
// ErrTooLarge: the radius touches more regions than GeoConfig.Regions. ErrUnavailable:
// Redis, or one server of a cluster, gave no answer; nothing is answered by halves.
func (g *Geo) Near(ctx context.Context, lon, lat, metres float64, limit int) ([]Place, error) {
	if err := checkNear(lon, lat, metres, limit); err != nil {
		return nil, fmt.Errorf("geo: near: %w", err)
	}
	regions, err := g.grid.within(lon, lat, metres)
	if err != nil {
		return nil, fmt.Errorf("geo: near: %w", err)
	}
	for count := limit + limit/4 + 8; ; count *= 4 { // entries that count no more take places
		found, full, err := g.search(ctx, regions, lon, lat, metres, count)
		if err != nil {
			return nil, fmt.Errorf("geo: near: %w", err)
		}
		if len(found) >= limit || !full {
			return found[:min(limit, len(found))], nil
		}
	}
}

// search asks regions for their nearest entries, and keeps those whose records say the
// same. full means that a region may have more.
func (g *Geo) search(ctx context.Context, regions []string, lon, lat, metres float64, count int) (found []Place, full bool, err error) {
	// A metre more, since the index is that coarse: the records decide.
	q := redis.GeoSearchQuery{Longitude: lon, Latitude: lat, Radius: metres + 1, RadiusUnit: "m", Sort: "ASC", Count: count}
	lists, err := pipelined(ctx, g.s.redis, regions, func(p redis.Pipeliner, region string) *redis.StringSliceCmd {
		places, _ := g.regionKeys(region)
		return p.GeoSearch(ctx, places, &q)
	})
	if err != nil {
		return nil, false, err
	}
	var ids, in []string
	for i, list := range lists {
		full = full || len(list) == count
		for _, id := range list {
			ids, in = append(ids, id), append(in, regions[i])
		}
	}
	records, err := pipelined(ctx, g.s.redis, ids, func(p redis.Pipeliner, id string) *redis.StringCmd {
		return p.Get(ctx, g.recordKey(id))
	})
	for i, record := range records {
		if p, ok := readRecord(record, in[i]); ok {
			p.ID, p.Distance = ids[i], distance(lon, lat, p.Lon, p.Lat)
			if p.Distance <= metres {
				found = append(found, p)
			}
		}
	}
	slices.SortFunc(found, func(a, b Place) int {
		return cmp.Or(cmp.Compare(a.Distance, b.Distance), strings.Compare(a.ID, b.ID))
	})
	return found, full, err
}

// readRecord reads a record, if it says that the thing is in a region.
func readRecord(record, region string) (p Place, ok bool) {
	parts := strings.Split(record, " ")
	if len(parts) != 3 || parts[0] != region {
		return p, false
	}
	var err1, err2 error
	p.Lon, err1 = strconv.ParseFloat(parts[1], 64)
	p.Lat, err2 = strconv.ParseFloat(parts[2], 64)
	return p, err1 == nil && err2 == nil
}

func number(f float64) string { return strconv.FormatFloat(f, 'f', 7, 64) } // a centimetre

// maxLat is as far north as Redis's index goes.
const maxLat = 85.05112878

func checkPlace(lon, lat float64) error {
	if !(math.Abs(lon) <= 180 && math.Abs(lat) <= maxLat) { // so that NaN is refused too
		return fmt.Errorf("%w: longitude must be within ±180, latitude within ±%v", ErrID, maxLat)
	}
	return nil
}

func checkNear(lon, lat, metres float64, limit int) error {
	const most = 10_000
	switch {
	case !(metres > 0):
		return fmt.Errorf("%w: a radius must be over 0 m", ErrID)
	case limit < 1 || limit > most:
		return fmt.Errorf("%w: limit %d is not between 1 and %d", ErrID, limit, most)
	}
	return checkPlace(lon, lat)
}
