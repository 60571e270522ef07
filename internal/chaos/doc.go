// Package chaos holds no code but tests: whole migrations, from shadow to finish
// and with a rollback in between, of three real processes on real servers, while
// things are killed, stopped and cut off. What, when and for how long is drawn
// from a seed.
//
//	make chaos N=50         fifty runs in a row, each from a seed that is printed
//	make chaos N=1 SEED=7   the run of one seed again
//
// A seed gives the same plan each time, not the same run: processes and servers
// are real, and so is their timing.
//
// # What a run is judged by
//
// Every member records what its clients are told (package history), and makes the
// load of package load besides: scripts, transactions, queues, streams. Both note
// each command in a file before it is sent and when it is answered: what was told
// to a process that is killed counts too. At the end the members rest, the sides
// are compared (differing), the migration is finished, and everything is read
// back from the target past the migrating client.
//
//   - acknowledged: writes that were answered.
//   - lost: of these, what is not there at the end. The count is strict: nothing
//     is excused but what "Failovers" below says.
//   - not linearizable: keys for whose history no order explains every reply. A
//     stale read, a write that came twice and one that came back are seen here.
//   - differing: keys that are not equal on both sides when the members rest and
//     a coordinator has had time to repair.
//
// # Failovers
//
// The source is one server that keeps an append-only file (each write is in the
// file before it is answered), so that it loses nothing when it is killed: no
// fault of the source is ever excused. The target replicates, as Redis does,
// after it has answered. When one of its primaries is replaced, what it had not
// replicated is lost by Redis itself.
//
// A witness tells which writes those can be. Five times a second it asks each
// primary for its replication offset and then each replica for its own: if every
// replica has reached it, every write that was answered before the question is on
// all of them. That is what WAIT confirms, for every write at once. A failover
// makes a span: from the last moment that was so confirmed under the old primary
// to the first under the new one, at which the old one is a replica again.
// Only a write that was under way within a span may be gone, and only if the
// target served any keys then: in shadow the source answers, and a failover of
// the target excuses nothing. Keys are checked for linearizability up to the
// first span, and to the end where there is none.
package chaos
