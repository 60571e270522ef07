// Package coordinator moves authority over keys from one Redis to another, and
// back. It is what the migrate command runs; it prints nothing and reads no
// environment.
//
// A Coordinator that was opened may look: Status, Check, Verify, Events. The
// verbs that change something make it lead for a term: it takes the lock on
// both sides, fences who held it and fell silent, ends what that one left
// behind, and only then acts. If another one leads, the verb is handed to it
// and followed.
//
// In its term it keeps the sides equal. The feeds of both sides name the keys
// that change; a set of dirty names and slots holds what is still to be
// compared. The first sync pass is nothing else than all slots being dirty at
// the start, and a gap in a feed makes slots dirty again, so "the pass is over
// and the feeds are unbroken since before it" is one question: is anything
// dirty? A name is taken out before its keys are read, never after.
//
// A move of authority is decided by package protocol, which says what to write,
// read, fence and prove; here it is carried out. What is argued there stands on
// these duties:
//
//   - Every write of the control records names the lock in its script, and every
//     connection that writes keys asks for the lock before anything else is sent
//     on it. A coordinator that was replaced can write no more. It is fenced while
//     the lock is still in its name, since one that cannot be fenced must not be
//     replaced. So a connection also needs that the lock was renewed less than a
//     lease ago, and the lock goes over only if it was not renewed since the
//     silence was seen: who wakes in between either beats, and keeps the lock, or
//     gets no connection.
//   - Copies of our own that were left unanswered may still be carried out. The
//     connections that had them are killed before a hold begins.
//   - What is being copied ends before a hold begins, and the wait for it has a
//     bound: small keys take milliseconds, large ones yield between two pieces. A
//     key that yields, like any that may not be written just then, is not settled
//     though it was compared: it stays dirty, and the move waits for it.
//   - A side that is gone is given up by a claim (package protocol) that stands on the
//     other side alone, with the lock and the fences of that side. Nothing is copied
//     from before the claim until the take, and to the lost side nothing in that
//     term: what it had may be wanted.
//   - From before a hold until the move has ended nothing is copied or deleted
//     but by the proof itself.
package coordinator
