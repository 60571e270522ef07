// Package redisproc runs real redis-server processes on the loopback address:
// a standalone server, a primary with replicas and Sentinels, or a Cluster.
// Tests use it through package redistest; the demo command uses it as it is, so
// nothing here imports testing.
//
// # What is promised
//
// A function that starts something returns when that something works: a
// standalone server answers, every Sentinel knows every replica and every other
// Sentinel, a Cluster takes writes on all slots and its replicas are attached.
// The context bounds the start, not the life of what was started.
//
// Whatever is started ends: by Close, which kills whole process groups (a frozen
// process too) and removes the directory; on Linux also when the process that
// started it dies in whatever way, because each server asks the kernel for
// SIGKILL at its parent's death. A directory that such a death leaves behind is
// removed by the next start on that machine.
//
// # How ports are kept apart
//
// Nobody can reserve a port for another process, so a port is tried, and another
// taken if the server could not bind it. That a server is ours, and not a
// stranger's on the same port, is known because it is asked over a Unix socket in
// its own directory, which a server opens only after it has bound its port. Ports
// lie below Linux's range for outgoing connections: else such a connection could
// sit on the port of a server that is down for a restart.
package redisproc
