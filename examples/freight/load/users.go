package load

import (
	"context"
	"crypto/rand"
	"fmt"
	mrand "math/rand/v2"
	"net/url"
	"time"

	"github.com/transload/transload/examples/freight/atlas"
	"github.com/transload/transload/examples/freight/store"
)

// fresh is how long an instance may answer with what it had before a change that was
// made through another one.
const fresh = 5 * time.Second

// signIn begins a session, and finds out who the user is.
func (u *user) signIn(ctx context.Context) error {
	var got struct {
		User string `json:"user"`
	}
	form := url.Values{"email": {u.email}, "password": {store.DemoPassword}}
	if err := u.post(ctx, "/sign-in", form, &got); err != nil {
		return err
	}
	u.mu.Lock()
	u.id, u.in = got.User, true
	u.mu.Unlock()
	return u.whoami(ctx)
}

// whoami looks whether the app takes the user for himself.
func (u *user) whoami(ctx context.Context) error {
	var got struct{ User store.User }
	if err := u.get(ctx, "/account", &got); err != nil {
		return err
	}
	if got.User.ID != u.id || got.User.Role != u.role {
		u.j.Wrong("%s is taken for %s", u.id, got.User.ID)
	}
	u.mu.Lock()
	u.plate = got.User.Plate
	u.mu.Unlock()
	return nil
}

// signOut ends the session, and looks whether it is over.
func (u *user) signOut(ctx context.Context) {
	u.mu.Lock()
	u.in = false
	u.mu.Unlock()
	if u.post(ctx, "/sign-out", nil, nil) != nil {
		return
	}
	if u.get(ctx, "/account", nil) == nil {
		u.j.Wrong("%s is signed in after signing out", u.email)
	}
}

// live does what a user does, until ctx is done.
func (u *user) live(ctx context.Context) {
	for ctx.Err() == nil {
		u.mu.Lock()
		in := u.in
		u.mu.Unlock()
		switch {
		case !in && u.signIn(ctx) != nil: // Redis and database are away, or it is limited
		case mrand.IntN(200) == 0:
			u.signOut(ctx)
		case u.role == store.Shipper:
			u.ship(ctx)
		default:
			u.drive(ctx)
		}
		wait(ctx, u.o.Pace/2+mrand.N(u.o.Pace))
	}
}

// ship is what a shipper does at a time. Errors are in the journal.
func (u *user) ship(ctx context.Context) {
	switch n := mrand.IntN(10); {
	case n < 2:
		u.postLoad(ctx)
	case n < 5:
		u.acceptBid(ctx)
	case n < 6:
		_ = u.get(ctx, "/messages", nil)
	case n < 7:
		_ = u.whoami(ctx)
	default:
		u.searchLoads(ctx)
	}
}

// drive is what a driver does at a time.
func (u *user) drive(ctx context.Context) {
	switch n := mrand.IntN(10); {
	case n < 3:
		u.offer(ctx)
	case n < 4:
		_ = u.get(ctx, "/near", nil)
	case n < 5:
		_ = u.get(ctx, "/mine", nil)
	case n < 6:
		_ = u.whoami(ctx)
	case n < 7:
		_ = u.get(ctx, "/carriers/"+u.id, nil)
	default:
		u.searchLoads(ctx)
	}
}

// aLoad is what of a load's page is looked at.
type aLoad struct {
	store.Load
	Bids  []store.Bid
	Stale bool
}

func (u *user) postLoad(ctx context.Context) {
	cities := atlas.Cities()
	from := mrand.IntN(len(cities))
	to := (from + 1 + mrand.IntN(len(cities)-1)) % len(cities)
	p := posted{u.id, cities[from].Slug(), cities[to].Slug(), "Crates " + rand.Text()[:6]}
	var got store.Load
	err := u.post(ctx, "/loads", url.Values{"request": {rand.Text()}, "from": {p.from}, "to": {p.to}, "cargo": {p.cargo},
		"kg": {"12000"}, "price": {fmt.Sprint(500 + mrand.IntN(2000))}, "pickup": {time.Now().AddDate(0, 0, 3).Format(time.DateOnly)}}, &got)
	if err != nil {
		return
	}
	u.j.enter(func() { u.j.loads[got.ID] = p })
	u.lookAt(ctx, got.ID)
}

// lookAt reads a load's page, and compares what cannot change, and what should have.
func (u *user) lookAt(ctx context.Context, id string) (l aLoad, ok bool) {
	asked := time.Now()
	if err := u.get(ctx, "/loads/"+id, &l); err != nil {
		return l, false
	}
	var want posted
	var known, gone bool
	var d deal
	u.j.enter(func() { want, known = u.j.loads[id]; d, gone = u.j.booked[id] })
	switch {
	case known && (l.ID != id || l.Shipper != want.shipper || l.From != want.from || l.To != want.to || l.Cargo != want.cargo):
		u.j.Wrong("load %s is %+v; want %+v", id, l.Load, want)
	case gone && asked.Sub(d.at) > fresh && !l.Stale && l.Driver != d.driver:
		u.j.Wrong("load %s is of driver %q %v after it was given to %s", id, l.Driver, asked.Sub(d.at).Round(time.Millisecond), d.driver)
	}
	return l, true
}

func (u *user) searchLoads(ctx context.Context) (ids []string) {
	from := ""
	if mrand.IntN(2) == 0 {
		from = atlas.Cities()[mrand.IntN(len(atlas.Cities()))].Slug()
	}
	var got struct{ Loads []store.Load }
	if u.get(ctx, "/loads?from="+from, &got) != nil {
		return nil
	}
	for _, l := range got.Loads {
		if from != "" && l.From != from || !l.Open() {
			u.j.Wrong("a search from %q shows load %s from %q of driver %q", from, l.ID, l.From, l.Driver)
		}
		ids = append(ids, l.ID)
	}
	return ids
}

// offer bids for a load that a search has shown.
func (u *user) offer(ctx context.Context) {
	ids := u.searchLoads(ctx)
	if len(ids) == 0 {
		return
	}
	id := ids[mrand.IntN(len(ids))]
	var got store.Bid
	price := int64(400 + mrand.IntN(2000))
	if err := u.post(ctx, "/loads/"+id+"/bids", url.Values{"price": {fmt.Sprint(price)}}, &got); err != nil {
		return
	}
	l, ok := u.lookAt(ctx, id)
	if !ok {
		return
	}
	u.j.enter(func() {
		u.j.bids[fmt.Sprintf("bid:%s:%d", got.ID, got.Created.UnixMilli())] = bid{l.Shipper, time.Now()}
	})
	for _, b := range l.Bids {
		if b.ID == got.ID && b.Driver == u.id && b.Price == price {
			return
		}
	}
	u.j.Wrong("load %s does not show the bid of %d of %s", id, price, u.id)
}

// acceptBid takes the cheapest bid for one of the shipper's loads.
func (u *user) acceptBid(ctx context.Context) {
	ids := u.j.mine(u.id)
	if len(ids) == 0 {
		return
	}
	l, ok := u.lookAt(ctx, ids[mrand.IntN(len(ids))])
	if !ok || len(l.Bids) == 0 {
		return
	}
	var got store.Load
	if err := u.post(ctx, "/loads/"+l.ID+"/accept", url.Values{"bid": {l.Bids[0].ID}, "price": {fmt.Sprint(l.Bids[0].Price)}}, &got); err != nil {
		return
	}
	if got.Driver != l.Bids[0].Driver {
		u.j.Wrong("load %s was given to %s; want %s", l.ID, got.Driver, l.Bids[0].Driver)
	}
	u.j.enter(func() { u.j.booked[l.ID] = deal{got.Driver, time.Now()} })
	u.lookAt(ctx, l.ID)
}
