package atlas

import (
	"math"
	"testing"
)

func TestPlanJoinsEveryPair(t *testing.T) {
	for _, from := range Cities() {
		for _, to := range Cities() {
			route := Plan(from, to)
			at := from
			for _, road := range route {
				if road.From != at {
					t.Fatalf("%s to %s: a road begins in %s; want %s", from.Name, to.Name, road.From.Name, at.Name)
				}
				at = road.To
			}
			straight := Apart(from.Lat, from.Lon, to.Lat, to.Lon)
			if at != to || route.Length() < straight || math.Abs(route.Length()-Plan(to, from).Length()) > 1e-6 {
				t.Errorf("%s to %s: ends in %s after %.0f km, %.0f as the crow flies, %.0f back", from.Name, to.Name,
					at.Name, route.Length(), straight, Plan(to, from).Length())
			}
		}
	}
}

func TestApart(t *testing.T) {
	berlin, _ := Find("berlin")
	paris, ok := Find("paris")
	if got := Apart(berlin.Lat, berlin.Lon, paris.Lat, paris.Lon); !ok || math.Abs(got-878) > 5 {
		t.Errorf("Berlin to Paris: got %.0f km; want 878", got)
	}
}

func TestRouteAt(t *testing.T) {
	from, to := Cities()[0], Cities()[2]
	route := Plan(from, to)
	for km, want := range map[float64]City{0: from, route.Length() + 1: to} {
		if lat, lon := route.At(km); lat != want.Lat || lon != want.Lon {
			t.Errorf("at %.0f km: got %v, %v; want %s", km, lat, lon, want.Name)
		}
	}
}

func TestSheetHoldsEveryCity(t *testing.T) {
	for _, c := range Cities() {
		if x, y := XY(c.Lat, c.Lon); x < 20 || x > Width-20 || y < 20 || y > Height-20 {
			t.Errorf("%s is at %v, %v: at the edge, or off the sheet", c.Name, x, y)
		}
	}
}
