package store

import (
	"context"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// The roles of users.
const (
	Shipper = "shipper"
	Driver  = "driver"
)

// rounds of PBKDF2 are what OWASP asks for with SHA-256.
const rounds = 600_000

// ErrPassword means that no user has that e-mail and that password.
var ErrPassword = errors.New("store: wrong e-mail or password")

// A User is who signs in. Drivers have a truck.
type User struct {
	ID    string `json:"id"`
	Email string `json:"email"`
	Name  string `json:"name"`
	Role  string `json:"role"`
	Phone string `json:"phone"`
	City  string `json:"city"`
	Plate string `json:"plate,omitempty"`
}

const userColumns = `id, email, name, role, phone, city, plate`

func scanUser(s scanner) (u User, err error) {
	err = s.Scan(&u.ID, &u.Email, &u.Name, &u.Role, &u.Phone, &u.City, &u.Plate)
	return u, err
}

// User returns a user by id.
func (s *Store) User(ctx context.Context, id string) (User, error) {
	return one(ctx, s.db, scanUser, `SELECT `+userColumns+` FROM users WHERE id = $1`, id)
}

// SignIn returns the user with an e-mail and a password, or ErrPassword. It takes as
// long for one that is not there.
func (s *Store) SignIn(ctx context.Context, email, password string) (User, error) {
	var secret string
	u, err := one(ctx, s.db, func(row scanner) (u User, err error) {
		err = row.Scan(&u.ID, &u.Email, &u.Name, &u.Role, &u.Phone, &u.City, &u.Plate, &secret)
		return u, err
	}, `SELECT `+userColumns+`, secret FROM users WHERE email = $1`, strings.ToLower(strings.TrimSpace(email)))
	if errors.Is(err, ErrNotFound) {
		secret = fmt.Sprintf("%d$%s$%s", rounds, "bm9ib2R5", "bm9ib2R5")
	} else if err != nil {
		return User{}, err
	}
	if good := verify(secret, password); !good || err != nil {
		return User{}, ErrPassword
	}
	return u, nil
}

// A Carrier is a driver as shippers see him.
type Carrier struct {
	User
	Booked int64 `json:"booked"` // loads that he was given
	Bids   int64 `json:"bids"`
}

// Carrier returns a driver, with what he has done.
func (s *Store) Carrier(ctx context.Context, id string) (Carrier, error) {
	return one(ctx, s.db, func(row scanner) (c Carrier, err error) {
		err = row.Scan(&c.ID, &c.Email, &c.Name, &c.Role, &c.Phone, &c.City, &c.Plate, &c.Booked, &c.Bids)
		return c, err
	}, `SELECT `+userColumns+`, (SELECT COUNT(*) FROM loads WHERE driver = users.id), (SELECT COUNT(*) FROM bids WHERE driver = users.id)
		FROM users WHERE id = $1 AND role = $2`, id, Driver)
}

// hash makes what is stored of a password: rounds$salt$key.
func hash(password string, rounds int) (string, error) {
	salt := make([]byte, 16)
	_, _ = rand.Read(salt) // never fails
	key, err := pbkdf2.Key(sha256.New, password, salt, rounds, sha256.Size)
	if err != nil {
		return "", err
	}
	text := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("%d$%s$%s", rounds, text(salt), text(key)), nil
}

func verify(secret, password string) bool {
	var n int
	var parts string
	if _, err := fmt.Sscanf(secret, "%d$%s", &n, &parts); err != nil {
		return false
	}
	salt, want, _ := strings.Cut(parts, "$")
	rawSalt, err1 := base64.RawStdEncoding.DecodeString(salt)
	rawWant, err2 := base64.RawStdEncoding.DecodeString(want)
	key, err3 := pbkdf2.Key(sha256.New, password, rawSalt, n, sha256.Size)
	return errors.Join(err1, err2, err3) == nil && subtle.ConstantTimeCompare(key, rawWant) == 1
}
