package atlas

import "math"

// The sheet that the map is drawn on, in its own units.
const (
	Width  = 1000
	Height = 840

	west, north = -11.5, 57.2
	perDegree   = 29.5 // units to a degree of longitude
	middle      = 47.5 // the latitude at which a degree has its right shape
)

// XY returns where a place is on the sheet. static/map.js does the same.
func XY(lat, lon float64) (x, y float64) {
	stretch := 1 / math.Cos(middle*math.Pi/180)
	return math.Round((lon-west)*perDegree*10) / 10, math.Round((north-lat)*perDegree*stretch*10) / 10
}
