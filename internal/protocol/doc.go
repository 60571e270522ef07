// Package protocol decides who may use which side of a migration: the control
// records and their transitions, leases, and the state machines of a member, of
// a move and of the proof inside a hold. It does no input or output, reads no
// clock and starts no goroutine: what happened goes in, with the time; what is
// to be done comes out. Package control and the processes carry it out.
package protocol
