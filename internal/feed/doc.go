// Package feed tells which keys of one side of a migration have changed. The
// servers say so themselves: on a connection to each master, CLIENT TRACKING
// in broadcast mode reports the name of every key that any client, script,
// expiry or eviction has changed; of those under some prefixes, if that is all
// that is asked for. What is learnt goes to a [Sink].
//
// What the feed does not report are changes of consumer groups of streams
// (reads, acknowledgements, claims) and SWAPDB.
//
// # Watermarks
//
// A server sends the names before it answers whoever changed the keys: both
// leave it at the end of one turn of its event loop, the names first. So when
// a PING that was sent on the tracking connection is answered, every change
// that had been acknowledged by then has been named before the answer. The
// same connection is asked for role and replication identity, and in a
// cluster for the slot map: an answer that differs from what it was when
// tracking began is a gap, not a watermark. The connection leads to one
// process, so its run id needs to be asked once.
//
// # Gaps
//
// Between the end of a connection and the moment at which tracking is on
// again, anything may have changed. So a gap raises the generation of the
// feed, and makes the slots of that master dirty, both again when tracking is
// back: who walked those slots in between must walk them once more. FLUSHALL,
// which a server reports as "everything", counts as a gap, as do a restart, a
// change of master and a change of the slot map.
//
// # Stalls
//
// A server keeps what a client does not read, and for a usual client, which a
// tracking connection is, without a limit. The process that reads may be stopped,
// frozen or cut off without a word: it cannot be relied on to notice, and nobody
// else watches. So the tracking connection also subscribes to a channel on which
// nobody ever publishes. That puts it under the server's own limit for
// subscribers (32 MB, or 8 MB for a minute, unless the server is told otherwise):
// a feed that is not read is cut off by the server, and is a gap, instead of
// filling the memory of the server that it watches. Where the channel may not be
// subscribed to there is no feed, and who waits for it is told why.
//
// # Dirty
//
// A Dirty holds the names. It is bounded: past its limit names are folded
// into the slots to which they hash. A name is taken out before its keys are
// compared, so that a change during the comparison brings it back.
package feed
