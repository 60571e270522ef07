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
package migrate
