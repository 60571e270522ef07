// Package command knows every Redis command that can be sent through a
// migrating client: which keys it has, whether it may change them, whether it
// waits, and where it goes if it has no key.
//
// # Where the table comes from
//
// A server describes its commands itself, in its COMMAND reply, and the most
// costly mistakes (a key that is not seen, a write taken for a read) are those
// that a table written by hand invites. So table.go is made from that reply by
// `go generate`, and a test holds it against the live server, command by command
// and through COMMAND GETKEYSANDFLAGS call by call. By hand comes only what a
// server does not say, in three places:
//
//   - newer.go: commands of later servers and of modules that go-redis can send;
//     a test calls every method of go-redis and looks its command up.
//   - classes.go: where a command without keys goes, what is refused and why,
//     where a time-out stands. A test holds that each command is in exactly one
//     class.
//   - quirks.go: commands whose keys or kind depend on their arguments.
//
// # Which way it errs
//
// Towards refusing, and towards a write. A command that the table does not know
// is not found, and the router refuses it: to guess its keys could put a write on
// the side that has no say. A write that is taken for one although it changes
// nothing costs a needless copy; a write taken for a read is lost to the mirror.
// So PFCOUNT, GETEX and XREADGROUP are writes, and EVAL is one whatever its body
// does. SORT, GEORADIUS and BITFIELD are told apart by their arguments, as the
// server does it.
//
// Malformed calls are [ErrArgs]: a server refuses them too, and their keys cannot
// be told.
//
// # Cost
//
// It stands in the way of every command of the app. A look-up costs one or two
// probes of a map, keys that are strings are appended without a copy, and neither
// allocates; benchmarks hold that at zero.
package command

//go:generate go run ./gen -o table.go
