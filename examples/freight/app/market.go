package app

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/transload/transload/cache"
	"github.com/transload/transload/examples/freight/atlas"
	"github.com/transload/transload/examples/freight/store"
)

// ErrForm means that what a user has entered cannot be used; the error that wraps it
// says why, to him.
var ErrForm = errors.New("please check the form")

// A Draft is a load as its shipper has entered it.
type Draft struct {
	Request  string // names the form, so that one that is sent twice is one load
	From, To string
	Cargo    string
	KG       int64
	Price    int64
	Pickup   time.Time
}

func (d Draft) check() error {
	_, from := atlas.Find(d.From)
	_, to := atlas.Find(d.To)
	var wrong []string
	bad := func(when bool, what string) {
		if when {
			wrong = append(wrong, what)
		}
	}
	bad(len(d.Request) < 8 || len(d.Request) > 64, "load the form anew")
	bad(!from || !to, "choose two cities")
	bad(from && d.From == d.To, "the load stays where it is")
	bad(strings.TrimSpace(d.Cargo) == "" || utf8.RuneCountInString(d.Cargo) > 80, "say in up to 80 letters what it is")
	bad(d.KG < 1 || d.KG > 40_000, "a truck takes 1 to 40,000 kg")
	bad(d.Price < 1 || d.Price > 100_000, "offer 1 to 100,000 €")
	bad(d.Pickup.Before(time.Now().Add(-48*time.Hour)), "the pick-up is in the past")
	if wrong != nil {
		return fmt.Errorf("%w: %s", ErrForm, strings.Join(wrong, "; "))
	}
	return nil
}

// Post enters a load. That its way is to be measured is entered with it: neither is
// there without the other.
func (a *App) Post(ctx context.Context, shipper string, d Draft) (store.Load, error) {
	if err := d.check(); err != nil {
		return store.Load{}, err
	}
	l := store.Load{Shipper: shipper, From: d.From, To: d.To, Cargo: strings.TrimSpace(d.Cargo), KG: d.KG, Price: d.Price, Pickup: d.Pickup}
	l, err := a.Store.Post(ctx, shipper+":"+d.Request, l, func(tx *sql.Tx, l store.Load) error {
		_, err := measure.Store(ctx, a.outbox, tx, way{Load: l.ID, From: l.From, To: l.To})
		return err
	})
	if err == nil {
		a.Catalog.posted(ctx, l)
	}
	return l, err
}

// Offer enters a driver's bid, and the e-mail about it.
func (a *App) Offer(ctx context.Context, driver, load string, price int64) (store.Bid, error) {
	if price < 1 || price > 100_000 {
		return store.Bid{}, fmt.Errorf("%w: offer 1 to 100,000 €", ErrForm)
	}
	b, err := a.Store.Offer(ctx, load, driver, price, func(tx *sql.Tx, l store.Load, b store.Bid) error {
		return a.owe(ctx, tx, store.Letter{Event: fmt.Sprintf("bid:%s:%d", b.ID, b.Created.UnixMilli()), Kind: store.Email, To: l.Shipper, Load: load, Price: price})
	})
	if err == nil {
		a.announce(load, "bid", price)
	}
	return b, err
}

// Accept gives a load to the driver of a bid, at the price that the shipper has seen, and
// tells him by e-mail and SMS.
func (a *App) Accept(ctx context.Context, shipper, load, bid string, price int64) (store.Load, error) {
	l, err := a.Store.Accept(ctx, shipper, load, bid, price, func(tx *sql.Tx, l store.Load, b store.Bid) error {
		for _, kind := range []string{store.Email, store.SMS} {
			err := a.owe(ctx, tx, store.Letter{Event: "booked:" + l.ID, Kind: kind, To: b.Driver, Load: l.ID, Price: b.Price})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		a.Catalog.booked(ctx, l)
		a.announce(load, "booked", 0)
	}
	return l, err
}

// A LoadView is a load with its bids.
type LoadView struct {
	store.Load
	Bids  []store.Bid `json:"bids"`
	Stale bool        `json:"stale"` // it may have changed since: the cache's word
}

// Load returns a load with its bids.
func (a *App) Load(ctx context.Context, id string) (v LoadView, err error) {
	var meta cache.Meta
	if v.Load, meta, err = a.Catalog.Load(ctx, id); err != nil {
		return v, err
	}
	v.Stale = meta.Stale
	v.Bids, err = a.Store.Bids(ctx, id)
	return v, err
}
