package store

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"
)

// A Bid is a driver's offer for a load: one each, of which the last price counts.
type Bid struct {
	ID      string    `json:"id"`
	Load    string    `json:"load"`
	Driver  string    `json:"driver"`
	Name    string    `json:"name"` // the driver's
	Price   int64     `json:"price"`
	Created time.Time `json:"created"`
}

const bidRows = `SELECT b.id, b.load, b.driver, u.name, b.price, b.created FROM bids b JOIN users u ON u.id = b.driver `

func scanBid(s scanner) (b Bid, err error) {
	var created int64
	err = s.Scan(&b.ID, &b.Load, &b.Driver, &b.Name, &b.Price, &created)
	b.Created = time.UnixMilli(created).UTC()
	return b, err
}

// Bids returns those for a load, the cheapest first.
func (s *Store) Bids(ctx context.Context, load string) ([]Bid, error) {
	return many(ctx, s.db, scanBid, bidRows+`WHERE b.load = $1 ORDER BY b.price, b.created, b.id`, load)
}

// BidsOf returns a driver's, the newest first.
func (s *Store) BidsOf(ctx context.Context, driver string, most int) ([]Bid, error) {
	return many(ctx, s.db, scanBid, bidRows+`WHERE b.driver = $1 ORDER BY b.created DESC, b.id LIMIT $2`, driver, most)
}

// Offer enters a driver's bid for an open load, or lowers or raises the one that he has
// made, and has then do the rest in the same transaction. A booked load is ErrTaken. The
// same price once more changes nothing, and then is not called. No two prices of a bid
// are of the same moment, which is what letters about them are named after.
func (s *Store) Offer(ctx context.Context, load, driver string, price int64, then func(*sql.Tx, Load, Bid) error) (b Bid, err error) {
	err = s.tx(ctx, func(tx *sql.Tx) error {
		l, err := s.locked(ctx, tx, load)
		if err != nil {
			return err
		}
		if !l.Open() {
			return ErrTaken
		}
		news, err := changed(tx.ExecContext(ctx, `INSERT INTO bids (id, load, driver, price, created) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (load, driver) DO UPDATE SET price = excluded.price,
				created = CASE WHEN excluded.created > bids.created THEN excluded.created ELSE bids.created + 1 END
			WHERE bids.price <> excluded.price`,
			newID(), load, driver, price, now()))
		if err != nil {
			return err
		}
		if b, err = one(ctx, tx, scanBid, bidRows+`WHERE b.load = $1 AND b.driver = $2`, load, driver); err != nil || !news {
			return err
		}
		return then(tx, l, b)
	})
	return b, err
}

// Accept gives a shipper's load to the driver of a bid, at the price that the shipper has
// seen, and has then do the rest in the same transaction. A bid of another price by now
// is ErrChanged, and a load that another driver has ErrTaken; that this one has it already
// is no error, and then is not called.
func (s *Store) Accept(ctx context.Context, shipper, load, bid string, price int64, then func(*sql.Tx, Load, Bid) error) (l Load, err error) {
	err = s.tx(ctx, func(tx *sql.Tx) error {
		if l, err = s.locked(ctx, tx, load); err != nil {
			return err
		}
		b, err := one(ctx, tx, scanBid, bidRows+`WHERE b.id = $1 AND b.load = $2`, bid, load)
		switch {
		case err != nil:
			return err
		case l.Shipper != shipper:
			return ErrNotFound
		case l.Driver == b.Driver:
			return nil
		case !l.Open():
			return ErrTaken
		case b.Price != price:
			return ErrChanged
		}
		if _, err := tx.ExecContext(ctx, `UPDATE loads SET driver = $1 WHERE id = $2`, b.Driver, load); err != nil {
			return err
		}
		l.Driver = b.Driver
		return then(tx, l, b)
	})
	return l, err
}

// locked reads a load that nobody else may change until the transaction ends. SQLite
// has one writer anyway.
func (s *Store) locked(ctx context.Context, tx *sql.Tx, load string) (Load, error) {
	query := `SELECT ` + loadColumns + ` FROM loads WHERE id = $1`
	if s.postgres {
		query += ` FOR UPDATE`
	}
	return one(ctx, tx, scanLoad, query, load)
}

// marks are n parameters: $1, $2, …
func marks(n int) string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("$%d", i+1)
	}
	return strings.Join(all, ", ")
}

func anys[T any](list []T) []any {
	all := make([]any, len(list))
	for i, v := range list {
		all[i] = v
	}
	return all
}
