// Package budget bounds how long a call of a workload waits for Redis.
//
// A deadline of its own for each call is a timer and a context each time, which is a
// tenth of what a decision or a load costs. So calls that begin within a sixteenth of
// the budget share one end: a call waits for the budget at most, and for fifteen
// sixteenths of it at least.
//
// # Goroutines
//
// A call gets a goroutine, which is left behind when the budget is over, so that it is
// bounded whatever its client does: go-redis reads on past a context's deadline, for
// its ReadTimeout of 5 s, unless it is told to heed it (ContextTimeoutEnabled); a
// client of a cluster, or a migrating one, does more than to wait for a reply. Only
// go-redis's client of one server needs none if it heeds deadlines. What keeps those
// that are left behind few is package breaker.
package budget
