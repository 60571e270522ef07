package atlas

import (
	"math"
	"slices"
)

// A Route is the roads from one city to another, in their order.
type Route []Road

// Plan returns the shortest route between two cities, which is empty from a city to
// itself. Every city can be reached from every other.
func Plan(from, to City) Route {
	km := map[string]float64{from.Slug(): 0}
	by := map[string]Road{}
	done := map[string]bool{}
	for !done[to.Slug()] {
		at := nearest(km, done)
		done[at] = true
		for _, r := range leads[at] {
			next, far := r.To.Slug(), km[at]+r.Length()
			if known, ok := km[next]; !ok || far < known {
				km[next], by[next] = far, r
			}
		}
	}
	var route Route
	for at := to.Slug(); at != from.Slug(); at = by[at].From.Slug() {
		route = append(route, by[at])
	}
	slices.Reverse(route)
	return route
}

func nearest(km map[string]float64, done map[string]bool) (at string) {
	least := math.Inf(1)
	for slug, far := range km {
		if !done[slug] && far < least {
			at, least = slug, far
		}
	}
	return at
}

// Length is how long a route is, in km.
func (r Route) Length() (km float64) {
	for _, road := range r {
		km += road.Length()
	}
	return km
}

// At returns where one is after so many km, at the end if that is further than it
// leads.
func (r Route) At(km float64) (lat, lon float64) {
	for _, road := range r {
		if l := road.Length(); km < l {
			f := km / l
			return road.From.Lat + f*(road.To.Lat-road.From.Lat), road.From.Lon + f*(road.To.Lon-road.From.Lon)
		}
		km -= road.Length()
	}
	if len(r) == 0 {
		return 0, 0
	}
	end := r[len(r)-1].To
	return end.Lat, end.Lon
}
