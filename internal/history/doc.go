// Package history records what clients were told, and judges whether one Redis
// could have told it.
//
// A process runs a few clients (Run), each of which does one operation after
// another on registers (GET, SET, GETSET), counters (GET, INCR) and sets of unique
// elements (SADD, SMEMBERS). A Recorder writes the call before anything is sent,
// and the return after the reply was read, each to the file at once: what a
// process was told survives its kill -9. Times are of a clock that all processes
// of a machine share and that nobody sets, so that "this one had returned before
// that one was called" holds across processes.
//
// # Three ends of an operation
//
// An operation has Returned with a reply, or Failed: it is known that nothing was
// carried out, because nothing was sent or because the server refused. All else
// is Open: no answer, a time-out, an answer that does not count
// (migrate.ErrUnknownOutcome), or the process was killed. An open write may have
// been carried out at any time after its call, or never. To call a failed one
// open is always right, only dearer to check; the other way round would blame the
// innocent. The clients' own retries must be off: an INCR that was sent twice is
// counted twice, on a plain client too.
//
// # Linearizable
//
// Check asks for each key whether all its operations fit one order that keeps to
// the times, with a value at each step that explains each reply. A write that was
// lost, a read that showed less than somebody had been told before it was asked,
// and an increment that was carried out twice fit none. Package porcupine
// searches for the order. Open writes would have it try each at every step, so
// three things are settled first, none of which can change the answer:
//
//   - An open read is left out.
//   - An open write of a value that no reply shows is left out. In an order that
//     has it, no reply between it and the next write needs it; one that lacks it
//     may have it at the end. Values are unique, so this can be seen.
//   - Replies of INCR are unique. A number that no reply names was made by an open
//     INCR. Open ones differ in their calls alone and end never, so if any of them
//     fit, those called first do, with the numbers in order.
//
// The search is bounded in time; one that is not done by then is no pass.
//
// A register hides a lost write under the next one. A set of unique elements
// shows it for good, which is why there are both.
//
// # Lost
//
// Where Redis itself fails over it may lose what it had acknowledged and not
// replicated, and no history is linearizable across that. Lost then compares what
// is there at the end with what was acknowledged, and leaves out what its caller
// excuses: see package chaos, which excuses only writes that were acknowledged
// after the last moment at which every replica was seen to have everything.
package history
