// Package migrate is the migrating client: a redis.UniversalClient that moves
// an app from one Redis to another, and back, under the hand of the operator's
// migrate command. The app opens one client a process with Open and uses it as
// it would any other.
//
// # The way of a command
//
// A [Client] is a front: a go-redis client that never dials, whose one hook is
// the router. It is not a hook on a client that does dial, since such a hook also
// sees the connection's handshake, and would send one side's password to the
// other. The router looks the command up, maps its keys to units (a workload and
// a slot), and asks the member to be admitted:
//
//	front → user's hooks → look up → enter(units) → backend → leave → mark, or try again
//
// enter waits while the units are held or no lease is valid, and picks the side
// and the pool. leave says what the reply is worth. A write whose lease ended
// meanwhile has an unknown outcome, whatever the reply says; a read whose keys
// have moved is run again. Every try, of every kind of command, goes through
// enter again, and go-redis's own retries are off.
//
// What is more than one command takes the same way: a pipeline in stretches of
// one side, a transaction as one write of all its keys, a WATCH through a guard
// that admits each of its commands by itself, a blocking command in slices of a
// second. docs/commands.md says what that means for an app.
//
// # The member
//
// Behind the front is a member of the migration. What it may do is decided by
// package protocol; here is what makes that hold for real connections.
//
// A view is what the member knows at one moment, and never changes; the next one
// replaces it and wakes what is parked. An operation counts itself under the view
// and then looks whether it is still the one: in the other order it could slip in
// between a look at the counters and the acknowledgement that is based on it. So
// once a replaced view's counters are zero, nothing that it let in is under way.
//
// A pool of connections belongs to one unbroken lease. When that lapses the view
// goes first, then the pool is closed, and only then is a new lease asked for. An
// operation that was admitted earlier and slept finds a closed pool, not a new and
// honest connection. The phases that need no lease have pools of their own for the
// same reason: one that is replaced gets no new connections, and is closed before
// a preparation is acknowledged. Each new connection first has the side's record
// compared, on a connection of the control client, so that a member that was
// fenced in its sleep does nothing by a connection that it opens afterwards.
//
// Copies go by pools of their own, which are under the leases of both sides and
// are closed when either lapses. A member that has lost the giver alone is fenced
// on both sides, but may open connections to the taker again at once: its lease
// there holds, and the record there has not changed. By one of these a copy that
// was let in before, and waited for a connection, would bring an old value to the
// taker after the grant.
//
// A connection that is closed with something unanswered is an orphan: the server
// may still carry that out. A wrapper around each connection reads its id from
// the reply to HELLO and errs on the side of an orphan; orphans are killed by id
// before anything is acknowledged. One on a server that does not answer keeps the
// member from acknowledging, unless another server is known to be master.
//
// # The mirror
//
// What a write has left is copied to the side that does not serve the key: names
// are queued, once each, and values are read when their turn comes. A copy is
// admitted and counted as a write is, under the view in which it is read, and
// looks once more right before it is sent: what was read before a move must not
// arrive after it. A key has one worker, so that an older value cannot follow a
// newer one. The queue is bounded and nothing waits for it. What finds no room is
// dropped and counted; the coordinator's feeds have its name.
package migrate
