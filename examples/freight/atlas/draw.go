package atlas

import (
	"math"
	"slices"
)

// The sheet that the map is drawn on, in its own units.
const (
	Width  = 1000
	Height = 840

	west, north = -11.5, 57.2
	perDegree   = 29.5 // units to a degree of longitude
	middle      = 47.5 // the latitude at which a degree has its right shape
)

// left are the cities whose names stand on their left, where they cross fewer roads and
// names.
var left = []string{"amsterdam", "bilbao", "bordeaux", "brussels", "lisbon", "ljubljana", "madrid", "nantes", "porto", "rotterdam"}

// Left reports whether a city's name is drawn on its left.
func (c City) Left() bool { return slices.Contains(left, c.Slug()) }

// XY returns where a place is on the sheet. static/map.js does the same.
func XY(lat, lon float64) (x, y float64) {
	stretch := 1 / math.Cos(middle*math.Pi/180)
	return math.Round((lon-west)*perDegree*10) / 10, math.Round((north-lat)*perDegree*stretch*10) / 10
}
