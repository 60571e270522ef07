package cache

import "errors"

var (
	// ErrNotFound means that there is no such thing. A loader returns it, alone or
	// wrapped, to say so; that is remembered too, for Config.Negative.
	ErrNotFound = errors.New("cache: not found")

	// ErrShed means that a value is neither in memory nor in Redis, and that the
	// database was not asked for it, since as much is asked of it as may be. Answer
	// 503 with Retry-After, or do without.
	ErrShed = errors.New("cache: shed: the limit on the database's load is reached")

	// ErrUnavailable means that Redis gave no answer. An invalidation with this error
	// is kept, and holds in this process from now on; where its text says that it was
	// dropped, old values live on until their expiry.
	ErrUnavailable = errors.New("cache: redis unavailable")

	// ErrTooLarge means that a radius covers more regions than may be asked at once.
	ErrTooLarge = errors.New("cache: radius is too large")

	// ErrID means that an id, a tag or a place cannot be used; the error that wraps it
	// says why.
	ErrID = errors.New("cache: bad id")

	// ErrOption means that an option has a value that cannot be used; the error that
	// wraps it names the option.
	ErrOption = errors.New("cache: bad option")
)
