package load

import (
	"context"
	"encoding/json"
	mrand "math/rand/v2"
	"net/http"
	"time"

	"github.com/transload/transload/examples/freight/atlas"
)

// speed is that of a truck, in km a second: a thousand times the real one, so that
// something moves on the map.
const speed = 22.0

// travel sends a truck from city to city, until ctx is done.
func (u *user) travel(ctx context.Context, home int) {
	cities := atlas.Cities()
	at := cities[home%len(cities)]
	for ctx.Err() == nil {
		to := cities[mrand.IntN(len(cities))]
		route := atlas.Plan(at, to)
		for km := 0.0; km < route.Length() && ctx.Err() == nil; km += speed * u.o.Fix.Seconds() {
			lat, lon := route.At(km)
			u.report(ctx, lat, lon)
			wait(ctx, u.o.Fix)
		}
		at = to
	}
}

// report sends a position.
func (u *user) report(ctx context.Context, lat, lon float64) {
	u.mu.Lock()
	in := u.in && u.plate != ""
	u.mu.Unlock()
	if !in {
		return
	}
	x := fix{u.plate, lat, lon, time.Now().UnixMilli()}
	body, err := json.Marshal(x)
	if err != nil {
		return // three numbers and a name
	}
	if u.ask(ctx, http.MethodPost, "/gps", "application/json", body, nil) != nil {
		return
	}
	u.j.enter(func() { u.j.fixes[x.Plate] = x; u.j.fixed++ })
}
