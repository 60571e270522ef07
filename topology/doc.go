// Package topology turns settings into a client for one Redis: a standalone
// server, a set of servers under Sentinel, or a Cluster.
//
//	cfg, err := topology.FromEnv("REDIS", os.Getenv) // every fault at once
//	client, err := topology.Open(cfg)                // dials nothing
//
// The mode is told, never sniffed. A client that looks at a server and adapts to
// it hides the very mistakes that a migration must show: a URL that leads to one
// node of a cluster, a sentinel's address taken for a server's. Client.CheckMode
// asks the servers whether they are what was told, and says what to do if not.
//
// Open builds go-redis's concrete clients itself, never by
// redis.NewUniversalClient, since that hides settings on which failover depends:
//
//   - A cluster client reloads its map of slots each second. go-redis does so
//     each minute, and after network errors not at all, so that a master that was
//     replaced within four seconds is still dialled for sixty.
//   - A sentinel client finds the master within DialTimeout. If the sentinel that
//     it is bound to hangs, it must have time to ask that one in vain, twice with
//     all retries, and then another: DialTimeout > 2×(Retries+1)×ReadTimeout, or
//     it never recovers. Other values are refused by Validate.
//   - A context's deadline bounds the reads and writes of its command too.
//     go-redis looks at it only between attempts unless told otherwise, so a call
//     with 100 ms to live could take seconds of a request's time. The price: a
//     connection whose command ran out of time is closed, and whether the command
//     took effect is not known. A cancelled context (without a deadline) does not
//     interrupt a command that has been sent.
//   - Maintenance notifications are off: they are a cloud service's extension,
//     cost a failing command a connection elsewhere, and resolve host names in
//     the constructor. CLIENT SETINFO is off: it is a round trip a connection,
//     and an error in the statistics of every server before 7.2.
//   - Pipelines share the one pool, so that PoolSize is the number of connections
//     that a client opens to a server at most (subscriptions come on top).
//
// go-redis writes its log to stderr, through one logger for the whole process.
// The first Open replaces that logger by one that hands its lines, at level
// Debug, to the logger of WithLogger, and drops them when there is none. What it
// says is also in the errors that are returned. A program that wants go-redis's
// log for itself calls redis.SetLogger after its first Open.
//
// # What is told of it
//
// Events, Health and Metrics have one source each, so that they cannot disagree:
// who is the primary, and how the servers are, is what the watcher of the client
// has posted last (a standalone server is asked); failovers are counted from the
// events that tell of them; operations are measured by a hook on the clients that
// send them. None of the three can hold up the client: events are queued for
// whoever hears them and dropped when he is 256 behind, and who asks for Health or
// Metrics reads a snapshot that is never changed, and waits for no server longer
// than ReadTimeout.
//
// Passwords are kept as Secret, which prints as "***" whichever way it is
// printed. Errors name the setting at fault and never its value.
package topology
