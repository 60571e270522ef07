// Package budget bounds how long a call of a workload waits for Redis.
//
// A deadline of its own for each call is a timer and a context each time, which is a
// tenth of what a decision or a load costs. So calls that begin within a sixteenth of
// the budget share one end: a call waits for the budget at most, and for fifteen
// sixteenths of it at least.
//
// # Clients that do not heed a deadline
//
// go-redis reads on past a context's deadline unless it is told to heed it
// (ContextTimeoutEnabled), for its ReadTimeout of 5 s. A call on such a client gets a
// goroutine, which is left to the client's own time-outs when the budget is over.
// What keeps those few is package breaker.
package budget
