package command

import "time"

// A Class says where a command goes when it comes with no keys to route it by.
// Every command of the table has exactly one; the zero Class has none of them.
type Class uint8

// The classes.
const (
	Keyed     Class = iota + 1 // goes where its keys are; see [Command.Route] for a call without any
	AnySide                    // reads something of a whole server: one side's answer will do
	BothSides                  // has to be known on both sides: SCRIPT LOAD, PUBLISH
	AllKeys                    // a write of every key: FLUSHDB, a script that declares no key
	Denied                     // cannot be routed; Reason says why and what to do instead
)

var classNames = [...]string{"none", "keyed", "any side", "both sides", "all keys", "denied"}

// String returns the class in the words of docs/commands.md.
func (c Class) String() string { return classNames[min(int(c), len(classNames)-1)] }

// A Command is what the router has to know of one Redis command, or of one
// subcommand. It is never changed once the package is loaded.
type Command struct {
	Name   string // in lower case; a subcommand is "xgroup|create"
	Arity  int    // number of arguments with the name, negative: at least so many
	Class  Class  // by name alone; what a call with arguments needs is in Route and Refusal
	Reason string // why a Denied command is refused, and what to do instead
	Script bool   // may touch keys that it does not declare, by design
	Split  bool   // is the same as one call a key, with the replies added up or put in order
	Cursor bool   // its cursor counts only on the server that gave it

	flags flags
	quirk quirk
	keys  []keySpec
	wait  waitSpec
	subs  map[string]*Command
}

// flags are those of a server's COMMAND reply that the table keeps.
type flags uint8

const (
	write    flags = 1 << iota // may change a key
	blocking                   // may wait for other clients
)

// A quirk marks a command of which the keys or the kind depend on its arguments
// in a way that key specs cannot say. An enum and not a func: a call through a
// func would force the caller's key buffer onto the heap.
type quirk uint8

const (
	plain     quirk = iota
	sortStore       // SORT: STORE names a key that is written; BY and GET read undeclared ones
	sortRead        // SORT_RO: the same without STORE
	geoStore        // GEORADIUS: STORE or STOREDIST names the key that is written
	bitfield        // BITFIELD: SET and INCRBY write
	streams         // XREAD, XREADGROUP: keys after STREAMS, waits only with BLOCK
	tsRead          // TS.READ: waits only with BLOCK
	copyDB          // COPY: DB leads out of the database that is migrated
)

// Write reports whether this call may change a key. It errs on the side of a
// write: PFCOUNT stores what it counted, XREADGROUP changes the group, and a
// script is believed only if its command ends in _RO.
func (c *Command) Write(args []any) bool {
	if c.flags&write == 0 {
		return false
	}
	switch c.quirk {
	case sortStore, geoStore:
		return c.storeAt(args) > 0
	case bitfield:
		return bitfieldWrites(args)
	}
	return true
}

// Blocking reports whether this call may wait for another client's write.
func (c *Command) Blocking(args []any) bool {
	_, ok := c.Timeout(args)
	return ok
}

// Route returns the class of a call that was found to have so many keys. A
// keyed command without a key (EVAL with numkeys 0) may touch any: it counts as
// a write of every key or, if it only reads, as a read on any side.
func (c *Command) Route(args []any, keys int) Class {
	switch {
	case c.Class != Keyed || keys > 0:
		return c.Class
	case c.Write(args):
		return AllKeys
	default:
		return AnySide
	}
}

// Refusal returns why this call must be refused, with what to do instead, or ""
// if it may go.
func (c *Command) Refusal(args []any) string {
	if c.Class == Denied {
		return c.Reason
	}
	if c.quirk == copyDB && copiesToDB(args) {
		return otherDB
	}
	return ""
}

// Undeclared reports whether this call may touch keys that AppendKeys does not
// name: every script, and SORT with a BY or GET pattern. On a cluster they must
// share a slot with those that are named; elsewhere only the feed shows them.
func (c *Command) Undeclared(args []any) bool {
	return c.Script || (c.quirk == sortStore || c.quirk == sortRead) && sortsByPattern(args)
}

// A waitSpec says where the time-out of a blocking command stands.
type waitSpec struct {
	at   int           // position, from the end if negative; 0: none
	unit time.Duration // time.Second is a float, time.Millisecond an integer
}
