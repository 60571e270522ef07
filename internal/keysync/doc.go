// Package keysync compares and copies keys between two sides of a migration.
// It moves state, never commands: what is written to the mirror is the value
// and the absolute expiry that the authority held at one moment.
//
// # One step to read, one step to write
//
// A value that is read apart from its expiry may be the old value with a new
// expiry, or with none. So the expiry is read right before DUMP and right after
// it: if it is the same, value and expiry are of one moment. (It could only have
// been changed and changed back in between, by two commands that came between
// three of one pipeline; the feed names such a key.) If it is not, or if the key
// expires within a minute, so that it matters what time it is on the server, or
// if the server is too old for PEXPIRETIME, the key is read by a read-only script,
// which returns all in one step. Plain commands cost a server half of what a
// script does: Lua copies and hashes each payload.
//
// A key is written by one command (RESTORE … REPLACE ABSTTL) or, where the
// payload of DUMP is of no use, by one script that clears the key, writes the
// elements and sets the expiry. An expiry that has passed leaves no key.
// A script on a standalone server reads some 25 keys at once; on a cluster each
// key has a script of its own, since a script may not name keys of two slots.
//
// # Equal
//
// The same DUMP bytes are the same value, but DUMP bytes that differ prove
// nothing: hash tables are dumped in the order of a seed that each process
// draws. Then the two values are read by type and compared: hashes and sets
// whatever their order, sorted sets by member and score, lists in order,
// streams with entries, identifiers, groups, consumers and what they hold
// pending. An expired key is an absent one. Hash-field expiry (Redis 7.4) is
// seen, and carried, by DUMP alone.
//
// # Large keys
//
// A key beyond Options.Large is never dumped: it is read and written a piece
// at a time, so that no command holds a server for more than a few
// milliseconds. If the mirror has a key of the same type it is repaired where
// it lies, by difference; else the pieces go to a temporary key in the same
// slot, which expires by itself and is renamed, and given its expiry, in one
// step once it is whole. Neither is atomic against concurrent writes to the
// authority, and need not be: such a write is reported by the feed, which
// names the key again. With no writer about, as in a hold, the result is
// exact.
//
// # Check
//
// Options.Check is called right before each batch of writes is sent. It is
// where a caller looks at its lease; an error drops the batch, and whatever
// would have followed it. A large key takes long, so Check is asked before each
// of its pieces, those that are only read too: a caller can end the call within
// a millisecond. Each key that was to be written and was not, or only in part,
// has an Err: a caller who took it for settled, since its Diff is known, would
// never look at it again.
package keysync
