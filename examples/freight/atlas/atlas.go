// Package atlas is the map of the freight app: some cities, the roads between them,
// and how far it is. It is small enough to be drawn without tiles from elsewhere.
package atlas

import (
	"math"
	"strings"
)

// A City is where loads come from and go to.
type City struct {
	Name string  `json:"name"`
	Lat  float64 `json:"lat"` // degrees north
	Lon  float64 `json:"lon"` // degrees east
}

// A Road joins two cities, both ways.
type Road struct{ From, To City }

// Slug is the city's name in URLs and keys.
func (c City) Slug() string { return strings.ReplaceAll(strings.ToLower(c.Name), " ", "-") }

// Find returns the city with a slug.
func Find(slug string) (City, bool) {
	c, ok := bySlug[slug]
	return c, ok
}

// Cities returns all of them by name.
func Cities() []City { return cities }

// Roads returns all of them.
func Roads() []Road { return roads }

// earth is the radius in km, and winding by how much a road is longer than the
// straight line.
const (
	earth   = 6371.0
	winding = 1.2
)

// Apart is how far two places are from each other as the crow flies, in km.
func Apart(lat1, lon1, lat2, lon2 float64) float64 {
	rad := func(deg float64) float64 { return deg * math.Pi / 180 }
	a := math.Pow(math.Sin(rad(lat2-lat1)/2), 2) +
		math.Cos(rad(lat1))*math.Cos(rad(lat2))*math.Pow(math.Sin(rad(lon2-lon1)/2), 2)
	return 2 * earth * math.Asin(math.Sqrt(a))
}

// Length is how long a road is, in km.
func (r Road) Length() float64 { return Apart(r.From.Lat, r.From.Lon, r.To.Lat, r.To.Lon) * winding }
