// Package load is an app under load that keeps a journal of every write that
// was acknowledged to it, and checks afterwards that Redis still has them all.
//
// The demo and the end-to-end tests judge a migration by it. It knows nothing
// of migrations: it gets a client, as an app does, and believes what it is told.
// For each kind of write it keeps what a loss would show in:
//
//   - registers: one writer counts up; the last value must be the last that was
//     acknowledged, or one that was tried after it.
//   - counters, by INCR, by a script and by WATCH and MULTI: the sum must lie
//     between what was acknowledged and that plus what was left unanswered.
//   - collections (hash, set, sorted set, list, stream): every element that was
//     acknowledged must be there, once. A register overwrites a lost write; a
//     collection shows it.
//   - queues: every task that was pushed is popped once or still there.
//
// Each write is entered before it is sent and again when it is answered, so that
// what a member had under way when it was killed is known to be open.
package load
