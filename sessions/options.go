package sessions

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"
)

// minKey is the length of a key for envelopes, in bytes.
const minKey = 32

// Options say how sessions live and what happens while Redis is away. Zero fields
// mean the default.
type Options struct {
	// Name of the cookie, to which "__Host-" is put in front, and of the manager: of
	// two managers on one Redis, each has sessions of its own. Letters, digits, - and
	// _. The default is "sid".
	Name string
	// Lifetime is how long a session lives at most, on the server's clock, however
	// much it is used. The default is 24h.
	Lifetime time.Duration
	// Idle is how long a session lives without a request, on the server's clock; a
	// twentieth less at worst, since not every request is noted. The default is
	// Lifetime: no idle time-out.
	Idle time.Duration
	// Grace is how long the id that a login or Rotate replaces can still be read,
	// as it was, for requests under way. The default is 10s.
	Grace time.Duration
	// PerUser is how many sessions a user may have: a login beyond that revokes the
	// oldest. The default is 100; negative means no bound.
	PerUser int
	// MaxData bounds the values of a session, in bytes of JSON. The default is 16 KiB.
	MaxData int
	// SameSite of the cookies. The default is http.SameSiteLaxMode.
	SameSite http.SameSite
	// Keys sign the envelope, a second cookie by which a process knows a session that
	// it has not seen before while Redis is away. The first signs, all are good for
	// reading; 32 bytes or more each, the same in every process. The default is none:
	// then a process answers from its own memory alone.
	Keys [][]byte
	// Outage is how long a session is answered without Redis, counted from when Redis
	// last confirmed it. The default is 15m; negative means not at all.
	Outage time.Duration
	// Memory bounds what is remembered of sessions for an outage, in bytes. The
	// default is 32 MiB.
	Memory int
	// Budget is how long Redis may take over one call. It must be longer than the hold
	// of a migration. The default is 500ms.
	Budget time.Duration
	// Confirm is how long login and logout wait for a replica, beyond Budget. The
	// default is 200ms; negative means that they do not wait.
	Confirm time.Duration
	// Fallback is a database that knows every session too: see NewSQL. The default is
	// none.
	Fallback *SQL
	// Logger takes what a human should look at (Warn). It never gets an id. The default
	// discards.
	Logger *slog.Logger
}

func (o Options) withDefaults() (Options, error) {
	setDefault(&o.Name, "sid")
	setDefault(&o.Lifetime, 24*time.Hour)
	setDefault(&o.Idle, o.Lifetime)
	setDefault(&o.Grace, 10*time.Second)
	setDefault(&o.PerUser, 100)
	setDefault(&o.MaxData, 16<<10)
	setDefault(&o.SameSite, http.SameSiteLaxMode)
	setDefault(&o.Outage, 15*time.Minute)
	setDefault(&o.Memory, 32<<20)
	setDefault(&o.Budget, 500*time.Millisecond)
	setDefault(&o.Confirm, 200*time.Millisecond)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o, o.validate()
}

func setDefault[T comparable](v *T, to T) {
	var zero T
	if *v == zero {
		*v = to
	}
}

// validate reports every fault at once.
func (o Options) validate() (err error) {
	bad := func(when bool, format string, args ...any) {
		if when {
			err = errors.Join(err, fmt.Errorf("%w: "+format, append([]any{ErrOption}, args...)...))
		}
	}
	bad(strings.ContainsFunc(o.Name, notInName) || len(o.Name) > 32, "Name: %q is not made of up to 32 letters, digits, - and _", o.Name)
	bad(o.Lifetime < time.Second, "Lifetime: %v is under 1s", o.Lifetime)
	bad(o.Idle < time.Second || o.Idle > o.Lifetime, "Idle: %v is not between 1s and Lifetime, %v", o.Idle, o.Lifetime)
	bad(o.Grace < 0 || o.Grace > time.Minute, "Grace: %v is not between 0 and 1m", o.Grace)
	bad(o.MaxData < 2, "MaxData: %d bytes hold no JSON", o.MaxData)
	bad(o.SameSite == http.SameSiteNoneMode, "SameSite: None sends the cookie with requests of other sites: use Lax or Strict")
	bad(o.Memory < 0, "Memory: %d is negative", o.Memory)
	bad(o.Budget < time.Millisecond, "Budget: %v is under 1ms", o.Budget)
	for i, k := range o.Keys {
		bad(len(k) < minKey, "Keys: number %d has under %d bytes: make one with crypto/rand", i, minKey)
	}
	return err
}

func notInName(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_')
}
