package ratelimit

import (
	"math"
	"time"
)

// A Source says where a decision comes from.
type Source uint8

const (
	// FromRedis: it has counted.
	FromRedis Source = iota
	// FromMemory of this instance: Redis has denied the same a moment ago.
	FromMemory
	// FromOutage: Redis did not answer, and Policy.OnOutage decided.
	FromOutage
)

var sourceNames = [...]string{"redis", "memory", "outage"}

// String returns "redis", "memory" or "outage".
func (s Source) String() string { return sourceNames[min(int(s), len(sourceNames)-1)] }

// A Decision says whether a subject may go on. The zero Decision denies.
type Decision struct {
	// Allowed says that every policy had the units, and they are taken. If not, none
	// has lost any.
	Allowed bool
	// Source is where the decision comes from.
	Source Source
	// The Status of the policy that denies, if several do of the one that takes
	// longest to allow; else of the one that has the least left.
	Status
	// Each is the status of every policy that was asked, in the order of New.
	Each []Status
}

// A Status is what a policy says of a subject.
type Status struct {
	// Policy is its name.
	Policy string
	// Limit is how many units can be had at once at most: Policy.Limit, or
	// Policy.Burst. In an outage it is still the whole limit.
	Limit int64
	// Remaining is how many of them are left, here in an outage.
	Remaining int64
	// Per is the policy's period.
	Per time.Duration
	// ResetAfter is how long it takes until all of Limit can be had; 0 if it can be now.
	ResetAfter time.Duration
	// RetryAfter is how long it takes until the units that were asked for can be had;
	// 0 if the policy does not deny them.
	RetryAfter time.Duration
	// Denied says that it is this policy that denies.
	Denied bool
}

// decided makes a decision of what each policy says.
func decided(from Source, each []Status) Decision {
	d := Decision{Allowed: true, Source: from, Each: each, Status: each[0]}
	least := math.Inf(1)
	for _, s := range each {
		switch {
		case s.Denied && (d.Allowed || s.RetryAfter > d.RetryAfter):
			d.Allowed, d.Status = false, s
		case d.Allowed:
			if share := float64(s.Remaining) / float64(s.Limit); share < least {
				least, d.Status = share, s
			}
		}
	}
	return d
}

// millis is a number of ms as a time.
func millis(ms int64) time.Duration { return time.Duration(ms) * time.Millisecond }
