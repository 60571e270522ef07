// Package protocol decides who may use which side of a migration: the control
// records and their transitions, leases, and the state machines of a member, of
// a move and of the proof inside a hold. It does no input or output, reads no
// clock and starts no goroutine: what happened goes in, with the time; what is
// to be done comes out. Package control and the processes carry it out.
//
// # Records and stages
//
// Each side has one record, which speaks for that side alone. A move takes slots
// from the giver to the taker, and each of its steps is one compare-and-set of
// one record, against the whole record that was read:
//
//	giver:  owns ── prepare ── hold ───────────── commit          (given)
//	          ↑        │         │                   ┊
//	          └─ abort ┴─────────┘                   ┊
//	taker:  given ─────────────────── offer ──────── ┊ ── grant   (owns)
//	          ↑                         │
//	          └──────────── strike ─────┘
//
// What a stage lets members do with the moving slots:
//
//	giver     taker    reads   writes
//	owns      given    giver   giver
//	holds     given    giver   wait
//	holds     awaits   giver   wait
//	given     awaits   taker   wait     committed: this alone decides
//	given     owns     taker   taker    granted
//
// Where both records own a slot, one of them has lost its newest version in a
// failover, and the higher epoch is right. A test goes through every pair of
// records that the transitions reach: no slot is owned twice, and none is
// without a side to read from.
//
// # Never two owners
//
// A member uses a side only while its lease on that side is valid, and only as
// the record says that it obeys. A lease is given in the step in which the
// record is read and counts from before that was sent, so that at any moment a
// leaseholder's record is at most LeaseFor old. The taker owns only after a
// grant, and a grant needs of each member on the giver's roll one of these:
//
//   - It has acknowledged the commit, so it obeys the commit and will never again
//     obey an older record of the giver. It would rather put its own back.
//   - It was fenced. No refresh of its was seen for SilentFor, longer than a lease
//     on any clock, from one look at the roll to the asking for another: what an
//     observer has slept through it has not seen. And its connections were killed on
//     every node of both sides, after a record was safe that makes new connections be
//     refused. If it refreshes later, its beat shows, and it counts as living again.
//   - Its lease from before the commit has run out by the clock of a member that
//     has obeyed the commit for SilentFor. This is for a dead coordinator. A copy
//     cannot be under way then: that was acknowledged in the hold.
//
// A member that is not on the roll has no lease. Its line is written in the step
// in which it asks for one, and it obeys its first record only once the replicas
// have what that connection wrote: a failover does not forget it. Lines are never
// removed because of a clock. That of a fenced member is struck off a roll only if it
// was silent on that very roll for SilentFor, and has not beaten since: one that has
// lost one side may hold a lease of the other, whose next move must find it.
//
// Acknowledgements are kept by side. A member that does not reach one side goes on
// with a duty of a move that has long ended there; were there one acknowledgement for
// both, it would overwrite the commit that the other side's mover waits for.
//
// The mover counts only what it read after the record was safe, and reads the
// giver again before it grants. If another server answers then, or one that has
// forgotten the commit, it counts anew.
//
// # A side is gone
//
// A move is decided on the giver, and nothing can be proven without it. If it is
// gone for good the operator may have the other side take all (Claimer): that is
// the one step that may lose acknowledged writes, those that only the lost side had.
// It must not make two owners all the same, and a side that does not answer the
// coordinator may answer a member.
//
//   - A member that acknowledges a claim has no lease on the lost side, has let its
//     copies to the living one end, and takes no new lease while the claim stands. One that
//     has a lease does not acknowledge; it tells so with its beats, and the claim is
//     given up: the side is not lost. Those who are silent on the living side's roll
//     for SilentFor are fenced there, where their copies could still arrive.
//   - The take is one compare-and-set of the living record, over the very version
//     that was looked at: a claim that a member has waived meanwhile, or that is
//     another's, is not taken.
//   - After the take every older record of the lost side is void (Record.Voids).
//     Its epoch says so, which lies above all that the lost side can have reached by
//     itself. A member that hears a void record takes no lease and writes the record
//     of a mirror in its place; and it uses no side before it has asked both, so that
//     one which boots finds out in time.
//   - A claim whose coordinator has died is waived by any member after ClaimBound.
//
// What it cannot know: a member that reaches only the lost side and is not on the
// living one's roll. The watch of SilentFor, in which the lost side must not answer
// once, outlasts its lease if that side is dead; if it is alive, and cut off with
// that member, the two serve on. Who gives a side up must know that it has ended.
//
// # No acknowledged write is lost
//
// A write that a member acknowledges was carried out on the giver before the
// proof, or on the taker after the grant.
//
//   - Before the proof: operations are counted before they are checked, and a
//     member acknowledges the hold only when everything that was counted before
//     has ended. What it gave up on is killed on the server first (a Duty), since
//     it might still be carried out. Copies to the other side are writes in this
//     sense. The Prover then compares every name that either side's feed has told
//     of, and each name is taken out of the dirty set before its compare reads.
//   - What a fenced member sent is dead with its connections. What it sends later
//     goes to a pool that is closed, or to a new connection, which is refused. Should
//     even that fail (a proxy that replays), its reply counts only under the very
//     lease under which it was sent, so that the app is not told that it is done.
//     For that reason a pool belongs to one generation of a lease (Member.Gen), and a
//     lease lapses when it runs out, or when another server answers; no new one is
//     given before the pool is closed (Member.Closed).
//   - A copy is a use of both sides: it goes through connections that are closed
//     when either lease lapses. Else a member that has lost only the giver could
//     bring an old value to the taker after the grant.
//   - The proof ends with a marker that every replica of the taker has, and with
//     the same masters as before the sync pass, so that a failover of the taker
//     after it forgets nothing that was compared.
//
// # Crashes, step by step
//
//   - While preparing: nobody waits for anything. A member ends the preparation
//     after PrepareBound.
//   - In a hold, the giver not failed over: the commit could only be in its record,
//     and it is not. A member aborts when the hold is over its bound, without asking
//     the taker, so that a dead taker does not stop the app. The commit and the
//     abort are compare-and-sets of one record: one of them wins.
//   - In a hold, the giver failed over: a commit may have been forgotten. It was
//     made only after the offer, and the offer only after the proof, so an offer or
//     grant of this move means that committing is right: nobody has written since.
//     Without one there was no commit. If the taker does not answer either, the hold
//     stays (Resolve).
//   - After the commit: any member that sees every acknowledgement grants, or, for
//     those who are silent, after SilentFor (Open).
//   - An offer whose move is no more gives nothing, and anybody strikes it out once
//     the giver's record is as new (StrikeOut). Offers, acknowledgements and changes
//     carry the move's id; what carries another is ignored.
//   - A reply that is lost: the record is read again, and one's own nonce in it
//     means that the change was made.
//   - A coordinator that was replaced is fenced like a member, and its changes
//     compare a nonce that is no longer there.
//
// # Every wait ends
//
// A preparation ends after MoveConfig.PrepareFor, or PrepareBound without a
// coordinator; a hold after its bound and abortAfter; a commit after all
// acknowledgements, or SilentFor; a claim after claimFor, or ClaimBound without a
// coordinator. While a newer record is not on every replica, a
// member goes on under the older one, and its lease with it unless the newer
// gives something away: a replica that hangs does not stop the app. New
// connections begin under either record then (Standing), unless the newer has a
// move: a process that was fenced during a move finds by the record that it was
// left behind, so for as long as one stands the record must be obeyed first. The
// one wait without a bound is that for a giver that is gone in a hold, together with a
// taker that cannot be asked.
//
// # Limits
//
//   - graceFor: the end of a hold is obeyed after 50 ms even if a replica has not
//     confirmed it. If an abort is obeyed so, that replica is promoted within
//     moments, and an offer stood, then the move is completed, and what was written
//     in between on the giver is lost: an abort, a lost replica and a failover at
//     once. Likewise a commit that a replica never confirmed, and a failover to that
//     replica between commit and grant: a member that boots just then reads the
//     giver until it hears of the taker.
//   - A replica that a master does not list as online is not waited for. If the giver
//     fails over to it when a commit was just made, the commit is forgotten. Until
//     members have written it again, who reads on the giver may read what is old, and
//     a hold may stand somewhat beyond its bound.
//   - Where connections cannot be listed and killed nobody can be fenced, and a
//     silent member keeps every move from being held.
//   - A machine that is suspended, and whose wall clock is set back by as much before
//     its processes run again, shows on neither clock that time has passed. Then
//     the fence alone stands between its old lease and the data.
//   - A giver that is restored from an old disk, with no member alive and the taker
//     away, says what it said then. So does a side that was given up.
//
// # The simulation
//
// TestSimulation runs members, coordinators and servers through migrations, a seed
// each: one queue of events, no goroutine, and all time and chance from the seed, so
// that `go test -run Simulation -seed N` shows a run again (TestSeedRepeats holds the
// traces of some). The state machines are those of this package. Around them is
// modelled:
//
//   - Servers: each side has two masters, one with the records, with replicas that
//     lag, hang, and lose what they had not got when they are promoted. Data is lost
//     only where the app asks for replication; else what Redis loses would hide what
//     the protocol loses.
//   - Links: packets are late, lost, or on their way for 20 s, in order on one
//     connection and in none between two; connections die; kills are listed and
//     final, or reach nobody at all (then nothing is copied, and the reply rule is
//     alone); a side goes away; a link dies slowly; nudges are lost.
//   - Processes: killed, started, frozen at a chosen spot between a check and what
//     was checked (one in every run at least), suspended with their machine; clocks
//     run apart and are set. The members' driver with its pools, orphans, duties,
//     wishes and the mirror's queue; the coordinator's with its lock, feeds, pass,
//     proof, fences and the leftovers of another.
//   - Moves to and fro of several keys and two workloads, cancelled, resumed, given
//     up in a proof, with an offer that comes late.
//
// Most faults come right at a step of a move. After each step it is checked that
// whoever may read a key finds what was acknowledged, and that a key is writable on
// one side; at each grant, that both sides are equal; all the time, that no hold and
// no commit stands for longer than its bound while somebody is there to end it; at
// the end of each move, that its verdict is what the records say. When the faults are
// over, all settles, and the step that the phase names next is taken and works.
//
// Not modelled: expiries, scripts and keyless commands, slots that move within a
// cluster, the phases off and done beyond the step that leads there.
//
// Package mutants breaks each rule on purpose, in this package or in the simulated
// drivers, and sees the simulation fail.
package protocol
