package budget

import (
	"reflect"

	"github.com/redis/go-redis/v9"
)

// heeds reports whether a client is known to end a call at its context's deadline:
// go-redis's own by an option alone, those of packages topology and migrate by their
// word. One that nobody knows is taken not to.
func heeds(c redis.UniversalClient) bool {
	switch c := c.(type) {
	case *redis.Client:
		return c.Options().ContextTimeoutEnabled
	case *redis.ClusterClient:
		return c.Options().ContextTimeoutEnabled
	case *redis.Ring:
		return c.Options().ContextTimeoutEnabled
	case interface{ HeedsDeadlines() bool }:
		return c.HeedsDeadlines()
	}
	return false
}

// direct reports whether nothing but a read or a wait for a connection can take a
// client's time: then no call needs a goroutine. One of a cluster looks for nodes too.
func direct(c redis.UniversalClient) bool {
	one, ok := c.(*redis.Client)
	return ok && one.Options().ContextTimeoutEnabled
}

// Missing reports whether there is no client: nil, or a nil pointer of some type, as
// a variable holds whose Open has failed.
func Missing(c redis.UniversalClient) bool {
	if c == nil {
		return true
	}
	v := reflect.ValueOf(c)
	return v.Kind() == reflect.Pointer && v.IsNil()
}
