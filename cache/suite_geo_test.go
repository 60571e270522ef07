package cache

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
)

func (p *pair) geo() *Geo {
	g, err := NewGeo(p.b.kind.s, "fleet", GeoConfig{})
	p.ok(err)
	return g
}

func geoAcross(t *testing.T, p *pair) {
	g := p.geo()
	east, west := p.id+"-east", p.id+"-west"
	p.ok(g.Set(t.Context(), east, 179.9, 60.01))
	p.ok(g.Set(t.Context(), west, -179.9, 59.99))
	p.ok(g.Set(t.Context(), p.id, 170, 60))
	all := map[string]bool{}
	got, err := g.Near(t.Context(), 179.95, 60, 20_000, 1000)
	p.ok(err)
	for _, place := range got {
		if strings.HasPrefix(place.ID, p.id) {
			all[place.ID] = true
		}
	}
	if !maps.Equal(all, map[string]bool{east: true, west: true}) {
		t.Errorf("got %v; want those on both sides of the date line", all)
	}
	if _, err := g.Near(t.Context(), 0, 0, 5_000_000, 1); !errors.Is(err, ErrTooLarge) {
		t.Errorf("half the earth: got %v; want ErrTooLarge", err)
	}
}

func geoMoves(t *testing.T, p *pair) {
	g := p.geo()
	lon := 20 + float64(newToken()[0])/10 // others are near too, in other runs
	near := func(lon float64) int {
		t.Helper()
		got, err := g.Near(t.Context(), lon, 50, 1000, 1000)
		p.ok(err)
		return len(slices.DeleteFunc(got, func(x Place) bool { return x.ID != p.id }))
	}
	p.ok(g.Set(t.Context(), p.id, lon, 50))
	p.ok(g.Set(t.Context(), p.id, lon+2, 50))
	if near(lon) != 0 || near(lon+2) != 1 {
		t.Errorf("got %d where it was, %d where it is; want 0, 1", near(lon), near(lon+2))
	}
	p.ok(g.Remove(t.Context(), p.id))
	if near(lon+2) != 0 {
		t.Error("it is still there; want that it is removed")
	}
}
