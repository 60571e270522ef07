package store

import (
	"context"
	"database/sql"
	"time"
)

// A Load is freight that a shipper wants to have moved.
type Load struct {
	ID       string    `json:"id"`
	Shipper  string    `json:"shipper"`
	From     string    `json:"from"` // slugs of cities
	To       string    `json:"to"`
	Cargo    string    `json:"cargo"`
	KG       int64     `json:"kg"`
	Price    int64     `json:"price"` // euros
	Pickup   time.Time `json:"pickup"`
	Driver   string    `json:"driver,omitempty"` // who has it
	KM       int64     `json:"km"`               // 0 until the distance job has run
	Measured int64     `json:"measured"`         // how often it had its effect
	Created  time.Time `json:"created"`
}

// Open reports whether bids are taken.
func (l Load) Open() bool { return l.Driver == "" }

const loadColumns = `id, shipper, origin, destination, cargo, kg, price, pickup, driver, km, measured, created`

func scanLoad(s scanner) (l Load, err error) {
	var pickup, created int64
	err = s.Scan(&l.ID, &l.Shipper, &l.From, &l.To, &l.Cargo, &l.KG, &l.Price, &pickup, &l.Driver, &l.KM, &l.Measured, &created)
	l.Pickup, l.Created = time.UnixMilli(pickup).UTC(), time.UnixMilli(created).UTC()
	return l, err
}

// Load returns a load by id.
func (s *Store) Load(ctx context.Context, id string) (Load, error) {
	return one(ctx, s.db, scanLoad, `SELECT `+loadColumns+` FROM loads WHERE id = $1`, id)
}

// Loads returns those of some ids that there are.
func (s *Store) Loads(ctx context.Context, ids []string) (map[string]Load, error) {
	all := make(map[string]Load, len(ids))
	if len(ids) == 0 {
		return all, nil
	}
	list, err := many(ctx, s.db, scanLoad, `SELECT `+loadColumns+` FROM loads WHERE id IN (`+marks(len(ids))+`)`, anys(ids)...)
	for _, l := range list {
		all[l.ID] = l
	}
	return all, err
}

// Search returns the ids of open loads, the newest first. An empty city is any.
func (s *Store) Search(ctx context.Context, from, to string, most int) ([]string, error) {
	return many(ctx, s.db, scanID, `SELECT id FROM loads WHERE driver = '' AND (origin = $1 OR $1 = '') AND (destination = $2 OR $2 = '')
		ORDER BY created DESC, id LIMIT $3`, from, to, most)
}

// OpenLoads returns every load that takes bids, for what is built from them.
func (s *Store) OpenLoads(ctx context.Context) ([]Load, error) {
	return many(ctx, s.db, scanLoad, `SELECT `+loadColumns+` FROM loads WHERE driver = ''`)
}

// LoadsOf returns the loads of a shipper, or those that a driver has, the newest first.
func (s *Store) LoadsOf(ctx context.Context, user string, most int) ([]Load, error) {
	return many(ctx, s.db, scanLoad, `SELECT `+loadColumns+` FROM loads WHERE shipper = $1 OR driver = $1 ORDER BY created DESC, id LIMIT $2`, user, most)
}

// Post enters a load, and has then do the rest in the same transaction. A request that
// is sent twice gives the load that it made first, and then is not called.
func (s *Store) Post(ctx context.Context, request string, l Load, then func(*sql.Tx, Load) error) (Load, error) {
	l.ID = newID()
	err := s.tx(ctx, func(tx *sql.Tx) error {
		added, err := changed(tx.ExecContext(ctx, `INSERT INTO loads
			(id, request, shipper, origin, destination, cargo, kg, price, pickup, driver, km, measured, created)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, '', 0, 0, $10) ON CONFLICT (request) DO NOTHING`,
			l.ID, request, l.Shipper, l.From, l.To, l.Cargo, l.KG, l.Price, l.Pickup.UnixMilli(), now()))
		if err != nil {
			return err
		}
		if l, err = one(ctx, tx, scanLoad, `SELECT `+loadColumns+` FROM loads WHERE request = $1 AND shipper = $2`, request, l.Shipper); err != nil || !added {
			return err
		}
		return then(tx, l)
	})
	return l, err
}

// Measured notes how long the way of a load is.
func (s *Store) Measured(ctx context.Context, tx *sql.Tx, load string, km int64) error {
	_, err := tx.ExecContext(ctx, `UPDATE loads SET km = $1, measured = measured + 1 WHERE id = $2`, km, load)
	return err
}

func scanID(s scanner) (id string, err error) {
	err = s.Scan(&id)
	return id, err
}
