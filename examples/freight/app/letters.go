package app

import (
	"context"
	"fmt"
	"strings"

	"github.com/transload/transload/examples/freight/atlas"
	"github.com/transload/transload/examples/freight/store"
)

// write says what a letter tells.
func (a *App) write(ctx context.Context, kind, event string) (m store.Message, err error) {
	l, err := a.Store.Letter(ctx, kind, event)
	if err != nil {
		return m, err
	}
	load, err := a.Store.Load(ctx, l.Load)
	if err != nil {
		return m, err
	}
	m = store.Message{Kind: kind, To: l.To, Event: event}
	m.Subject, m.Body = words(l, load)
	return m, nil
}

func words(l store.Letter, load store.Load) (subject, body string) {
	way := CityName(load.From) + " → " + CityName(load.To)
	what := fmt.Sprintf("%s, %d kg, %s", load.Cargo, load.KG, way)
	pickup := load.Pickup.Format("2 January")
	switch {
	case strings.HasPrefix(l.Event, "bid:"):
		return fmt.Sprintf("A bid of %d € for %s", l.Price, way), fmt.Sprintf("A driver offers to carry your load (%s) for %d €.", what, l.Price)
	case l.Kind == store.SMS:
		return "", fmt.Sprintf("The load is yours for %d €: %s. Pick-up %s.", l.Price, what, pickup)
	}
	return "You have the load " + way, fmt.Sprintf("Your bid of %d € was accepted: %s, pick-up on %s.", l.Price, what, pickup)
}

// CityName is how a city is called.
func CityName(slug string) string {
	c, _ := atlas.Find(slug)
	return c.Name
}
