// Package cache shields a database: while Redis is there, while it fails over or is
// moved, while it is away, and when it comes back with nothing in it.
//
//	store, err := cache.Open(client, cache.Options{})             // any redis.UniversalClient; dials nothing
//	trucks, err := cache.New(store, "truck", cache.Config[Truck]{}) // five minutes
//	truck, meta, err := trucks.Get(ctx, id, load)                 // memory, Redis, or load
//	some, err := trucks.GetMany(ctx, ids, loadMany)
//	err = trucks.Invalidate(ctx, id)                              // once its row has changed
//	ids, _, err := listings.Get(ctx, "hamburg", query, "city-7")  // a listing, with a tag
//	err = store.InvalidateTag(ctx, "city-7")
//
// A [Geo] knows where things are, and what is near.
//
// # What is kept where
//
//	cache:{NAME:ID}              string: an entry (entry.go), or the tombstone of one
//	cache:fill:{NAME:ID}         string: the token of who may fill it
//	cache:tag:{TAG}              string: the version of a tag
//	cache:geo:at:{NAME:ID}       string: where a thing is
//	cache:geo:in:{NAME:REGION}   geo index: what was seen in a region; cache:geo:seen:… when
//
// Every key has an expiry from its first moment. A script touches keys of one slot
// alone. An entry found is one GET, with a tag one pipeline.
//
//	           claim            fill
//	(nothing) ─────▶ being loaded ─────▶ entry ──▶ due: loaded anew by one, answered by all
//	    ▲  ▲               │   ▲           │ │
//	    │  └─ lease, error ┘   │ claim     │ └── TTL ──▶ (nothing)
//	    │                      │           ▼ Invalidate
//	    └────── TTL ────── tombstone ◀─────┘
//
// # One load
//
// Who misses claims the right to fill: a key with a random token, which ends by
// itself after the longest time that a load may take. One process gets it; the others
// look again, until there is an entry or the right is free. In a process one caller
// stands for all that miss the same, and his load does not end with him. A fill is
// refused unless the token is still there. So of two who both believe to have the
// right, because it had lapsed or was lost in a failover, one fills.
//
// Invalidate puts a tombstone and takes the token away. What was read from the
// database before is then refused, however late it comes; and a caller that comes
// after the invalidation was acknowledged does not join a load that began before, in
// the process that invalidated, and in the others once they were told. Since go-redis
// sends a command again whose reply was lost, each script finds out whether it has run
// before: claim and fill by their token; the others may be run twice.
//
// # Tags
//
// A tag is a version; an entry holds those that its tags had before it was loaded, and
// is a miss when one of them is another now. To raise it is one command, however many
// entries there are. A version that is lost (evicted, failed over) comes back as the
// time in microseconds: never as one that was there.
//
// # Memory
//
// Each process holds entries, bounded in bytes (otter). They are answered without
// asking Redis as long as they are known to be what Redis has. The servers tell which
// keys change (CLIENT TRACKING, package internal/feed), and the order in which names
// and replies come does not matter: before Redis is asked, a mark is made of the count
// of changes of the key's stripe and of the era, which each gap in what is told ends.
// An entry counts while its mark is that of the moment. A change that the server made
// after the reply raises the count after the mark, whenever it is heard of; a change
// before it is in the reply.
//
// A connection that has died without a word tells nothing: twice a second each server
// is asked whether there is no more to tell, and its word is good for two seconds.
// Where no server tells (no CLIENT TRACKING, a client that reads from replicas, a
// migrating client, whose keys change sides) an entry is good for MemoryAge.
//
// What is in use and has changed is read again in the background, so that memory has
// what Redis has when Redis is gone the next moment.
//
// # Redis away
//
// No answer within Budget, or a breaker that is open (package internal/breaker):
//
//	memory, stale if need be → one load per process, within the Guard → ErrShed
//
// In memory counts what was good when Redis was last heard of, until TTL and MaxStale
// are over, and what was loaded since. What this process has invalidated does not
// count: it is loaded. An invalidation that Redis did not take is kept, and sent again
// four times a second. While it waits, what it concerns counts as stale wherever it is
// found: who reads such an entry from a Redis that is back tells Redis first. Other
// processes cannot know of it; they may answer as of before until it is told, and if
// the process dies with it, until TTL.
//
// Nothing comes due while Redis is away, and afterwards it comes due as much later as
// Redis was away: the database sees no hill of what has waited.
//
// # Redis empty
//
// A server that was restarted with nothing, or a replica that had less, is filled from
// memory: an entry that Redis does not have, and for which there is no tombstone, was
// lost, since invalidations leave a tombstone longer than any process holds an entry.
// It is put back, with its own age, by whoever asks for it, if the servers have told
// all changes until the gap in which it was lost, and did not tell of this one: then
// nobody has invalidated it until then. After a FLUSHALL nothing is put back, nor what
// was deleted by hand: that was told too. Where nobody tells of changes (above), it is
// answered as stale, and loaded in the background, as fast as the Guard lets it.
//
// What Redis has confirmed and lost is lost for the cache as well: an invalidation
// within the replication lag of a failover, or one that a process could not hear of
// before the server died, does not reach what that process holds. TTL bounds it.
//
// # The Guard
//
// Loads of all caches that share a Guard are bounded, in normal times too: so many at
// once, and so many in any second. Who would wait too long for his turn is shed at
// once. When Redis goes away, comes back or is found empty (most of what is looked up
// is not there), so many a second begin with a tenth, and rise for half a minute.
// Refreshes do not wait at all: what is due is answered for a while longer.
//
// # A migration
//
// On a migrating client each script's keys are of one slot, and on one side at any
// moment. Carried warm, entries, tombstones, tags and rights move like all keys. Begun
// cold, the other side has none of them: a fill under a right that stayed behind is
// refused; what is in memory is answered as stale and loaded at the ramp's pace, never
// put back, since tombstones stayed behind too. A hold parks scripts for some tens of
// milliseconds, and no GET; Budget must be longer than that.
package cache
