package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/transload/transload/examples/freight/atlas"
)

// DemoPassword is that of every user whom Demo makes.
const DemoPassword = "freight"

// demoRounds are few: everybody knows that password, and a demonstration has all of them
// sign in at once.
const demoRounds = 1000

var (
	firms  = []string{"Alpina", "Baltica", "Corvus", "Delta", "Ester", "Fjord", "Garda", "Hansa", "Iberia", "Jura"}
	people = []string{"Ada", "Bruno", "Clara", "David", "Elif", "Femke", "Goran", "Hanna", "Ivo", "Jana", "Karim", "Lena", "Marek", "Nora", "Otto", "Petra"}
	last   = []string{"Adler", "Blum", "Costa", "Dubois", "Egger", "Faber", "Gruber", "Horvat", "Jansen", "Kovac", "Lang"}
	cargos = []string{"Oranges", "Machine parts", "Furniture", "Paper rolls", "Wine", "Steel coils", "Olive oil", "Bicycles", "Timber", "Tiles"}
)

// DemoEmail is the address of the n-th demo user of a role, from 1 on.
func DemoEmail(role string, n int) string { return fmt.Sprintf("%s-%d@freight.example", role, n) }

// Demo fills an empty database with so many shippers and as many drivers, some of
// their loads, and nothing else: one that has users is left alone. All have the same
// password, so that its hash is made once.
func (s *Store) Demo(ctx context.Context, each int) error {
	secret, err := hash(DemoPassword, demoRounds)
	if err != nil {
		return err
	}
	return s.tx(ctx, func(tx *sql.Tx) error {
		if s.postgres { // one process fills it
			if _, err := tx.ExecContext(ctx, `LOCK TABLE users`); err != nil {
				return err
			}
		}
		if _, err := one(ctx, tx, scanID, `SELECT id FROM users LIMIT 1`); !errors.Is(err, ErrNotFound) {
			return err
		}
		for n := 1; n <= each; n++ {
			if err := demoPair(ctx, tx, n, secret); err != nil {
				return err
			}
		}
		return nil
	})
}

// demoPair enters a shipper with a load, and a driver.
func demoPair(ctx context.Context, tx *sql.Tx, n int, secret string) error {
	cities := atlas.Cities()
	at := func(i int) string { return cities[(n*i)%len(cities)].Slug() }
	name := people[n%len(people)] + " " + last[n%len(last)]
	users := []User{
		{ID: fmt.Sprintf("s%04d", n), Role: Shipper, Name: firms[n%len(firms)] + " " + cities[(n*7)%len(cities)].Name, City: at(7)},
		{ID: fmt.Sprintf("d%04d", n), Role: Driver, Name: name, City: at(5), Plate: fmt.Sprintf("%s-%03d", strings.ToUpper(at(5)[:2]), n)},
	}
	for _, u := range users {
		if _, err := tx.ExecContext(ctx, `INSERT INTO users (id, email, name, role, phone, city, plate, secret, created)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
			u.ID, DemoEmail(u.Role, n), u.Name, u.Role, fmt.Sprintf("+49 30 5550 %04d", n), u.City, u.Plate, secret, now()); err != nil {
			return err
		}
	}
	from, to := at(7), at(11)
	if from == to {
		return nil
	}
	// These are there before any job runs, so their way is measured here.
	a, _ := atlas.Find(from)
	b, _ := atlas.Find(to)
	pickup := time.Now().Add(time.Duration(n%14+1) * 24 * time.Hour)
	_, err := tx.ExecContext(ctx, `INSERT INTO loads
		(id, request, shipper, origin, destination, cargo, kg, price, pickup, driver, km, measured, created)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, '', $10, 1, $11)`,
		newID(), fmt.Sprintf("demo-%d", n), users[0].ID, from, to, cargos[n%len(cargos)], 1000+n*370%22000,
		600+n*90%2400, pickup.UnixMilli(), int64(atlas.Plan(a, b).Length()), now()-int64(n)*60_000)
	return err
}
