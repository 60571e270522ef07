package keysync

import (
	"time"
)

// Options say how keys are compared and copied. The zero value is usable.
type Options struct {
	// Check is called right before each batch of writes is sent, and before
	// each piece of a large key, read or written; an error drops what would
	// have followed and ends the call with ErrDropped. The default is none.
	Check func() error
	// Tolerance is how far two expiries may lie apart and still count as
	// equal. The default is 0: equal to the millisecond.
	Tolerance time.Duration
	// Large is the size in bytes, as MEMORY USAGE says, beyond which a key is
	// handled in pieces. The default is 256 KiB: DUMP and RESTORE take some
	// milliseconds for a megabyte. Where the server runs in this process there
	// is none: nothing is gained.
	Large int64
	// LargeLen is the number of elements beyond which a key that is read by
	// type is handled in pieces. The default is 5000.
	LargeLen int
	// Batch is how many keys go into one pipeline. The default is 200.
	Batch int
	// Move names the move in the names of temporary keys. The default is
	// "copy".
	Move string
}

const defaultLarge = 256 << 10

func (o Options) withDefaults() Options {
	if o.Check == nil {
		o.Check = func() error { return nil }
	}
	if o.LargeLen <= 0 {
		o.LargeLen = 5000
	}
	if o.Batch <= 0 {
		o.Batch = 200
	}
	if o.Move == "" {
		o.Move = "copy"
	}
	return o
}

// A Diff says how the mirror's key differs from the authority's.
type Diff uint8

// The differences. Unknown means that nobody looked.
const (
	Unknown       Diff = iota
	Equal              // same value, same expiry
	Missing            // only the authority has the key
	Extra              // only the mirror has it
	TypeDiffers        // values of different types
	ValueDiffers       // different values of one type
	ExpiryDiffers      // the same value, but not the same expiry
)

var diffNames = [...]string{"unknown", "equal", "missing", "extra", "type", "value", "expiry"}

func (d Diff) String() string { return diffNames[min(d, ExpiryDiffers)] }

// An Action says what was done to the key that was written to.
type Action uint8

// The actions.
const (
	None     Action = iota
	Copied          // written whole
	Deleted         // the authority has it no more
	Repaired        // mended in place, by difference
)

var actionNames = [...]string{"none", "copied", "deleted", "repaired"}

func (a Action) String() string { return actionNames[min(a, Repaired)] }

// A Result tells what became of one key.
type Result struct {
	Key    string
	Diff   Diff
	Action Action
	Large  bool          // handled in pieces
	Took   time.Duration // if it is large
	Bytes  int64         // written, as payload or elements
	Err    error         // the key is in no known state on the mirror
}
