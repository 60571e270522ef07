package cache

import (
	"fmt"
	"math"
)

// earth is its radius in metres, as Redis has it.
const earth = 6372797.560856

// A grid divides the earth into regions of so many degrees.
type grid struct {
	cols, rows int
	most       int // that a radius may touch
}

func newGrid(degrees float64, most int) grid {
	cols := int(math.Ceil(360 / degrees))
	return grid{cols: cols, rows: (cols + 1) / 2, most: most}
}

// region names the region of a place.
func (g grid) region(lon, lat float64) string { return regionName(g.col(lon)%g.cols, g.row(lat)) }

func regionName(col, row int) string { return fmt.Sprint(col, ".", row) }

// col and row count from the west and from the south. col may be beyond the grid, for
// longitudes beyond ±180.
func (g grid) col(lon float64) int { return int(math.Floor((lon + 180) / 360 * float64(g.cols))) }
func (g grid) row(lat float64) int {
	return min(max(int(math.Floor((lat+90)/180*float64(g.rows))), 0), g.rows-1)
}

// within returns the regions that a circle touches: those of the box around it.
func (g grid) within(lon, lat, metres float64) ([]string, error) {
	angle := metres / earth
	high := angle * 180 / math.Pi
	south, north := lat-high, lat+high
	wide := 180.0 // a circle about a pole has all longitudes
	if south > -90 && north < 90 {
		wide = math.Asin(math.Min(1, math.Sin(angle)/math.Cos(lat*math.Pi/180))) * 180 / math.Pi
	}
	const rounding = 1e-6 // degrees: a region too many costs little, one too few is a miss
	west, east := g.col(lon-wide-rounding), g.col(lon+wide+rounding)
	cols := min(east-west+1, g.cols)
	low, top := g.row(south-rounding), g.row(north+rounding)
	if n := cols * (top - low + 1); n > g.most {
		return nil, fmt.Errorf("%w: %.0f m touch %d regions, and %d may be asked: ask for less, or make GeoConfig.Region larger", ErrTooLarge, metres, n, g.most)
	}
	var list []string
	for row := low; row <= top; row++ {
		for i := range cols {
			list = append(list, regionName(((west+i)%g.cols+g.cols)%g.cols, row))
		}
	}
	return list, nil
}

// distance is that of two places, in metres, along the earth.
func distance(lon1, lat1, lon2, lat2 float64) float64 {
	rad := func(d float64) float64 { return d * math.Pi / 180 }
	u, v := math.Sin((rad(lat2)-rad(lat1))/2), math.Sin((rad(lon2)-rad(lon1))/2)
	return 2 * earth * math.Asin(math.Min(1, math.Sqrt(u*u+math.Cos(rad(lat1))*math.Cos(rad(lat2))*v*v)))
}
