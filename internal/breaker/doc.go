// Package breaker keeps callers from waiting for a Redis that does not answer:
// one circuit breaker for each workload of a side.
//
// # When it opens
//
// After ten transport errors in a row, with no answer in between: dials that
// fail, connections that break, time-outs. An answer is any reply, be it WRONGTYPE
// or LOADING: who answers is there. What says nothing about the server counts
// neither way: a caller that cancelled, a client that was closed, a pool without a
// free connection.
//
// # How it closes
//
// A breaker must not make a failover longer, and the one moment that matters is
// the one at which the side is back. So it stays open for 50 ms only, and then
// lets one command through, to see. If that has no reply within 100 ms, its turn
// is over, and 50 ms later another one goes; it is not ended, and keeps the
// patience that its caller has. So whatever hangs, a new command tries the side
// each 150 ms. And any answer closes the breaker, also that of a command which was
// sent before it opened or has lost its turn: there is no better proof.
//
//	         ten in a row
//	closed ───────────────▶ open ◀──────────────┐
//	  ▲  ▲                   │ 50 ms            │ an error, or
//	  │  │ any answer        ▼                  │ no reply in 100 ms
//	  │  └──────────────── half-open ───────────┘
//	  └── any answer ─────── (either)
//
// What an open breaker costs the servers is nothing; what a half-open one costs
// is seven commands a second and workload.
package breaker
