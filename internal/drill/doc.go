// Package drill shows what a failover does to an app: it writes and reads with
// the app's own client, keeps a journal of what was acknowledged, watches the
// servers on connections of its own, and tells afterwards how long nobody got an
// answer and what was lost.
//
// # What is measured, and how
//
// A Load is a number of goroutines that write and read at a steady pace, each
// with keys in a slot of its own, spread evenly over the slots, so that each
// shard of a cluster has some. A write is a key of its own with an expiry: what
// was acknowledged and is gone can be counted one by one, and nothing stays
// behind. An outage is a goroutine's longest time between two answers, the pause
// between two of its calls included; the worst goroutine counts, since that is
// the request that the user waits for. A goroutine that never got an answer
// again has its outage go on until the end of the load.
//
// A Watch asks every data server for its ROLE each ten milliseconds, and listens
// to every sentinel. A server is lost from the first of its probes that had no
// answer, and a replica is promoted when it first says that it is a master:
// sentinels announce that up to two seconds later.
//
// # Lost writes
//
// After the failover the journal is held against the primary that is left. A
// write counts as lost if it was acknowledged and its key is not there. The
// expiry of a key is far longer than a journal goes back, so that none expires
// before it is looked for. Eviction would look like a loss: a drill is not for
// a server that is full.
//
// A write without an answer is neither: it may be there or not.
//
// # A planned failover that loses nothing
//
// SENTINEL FAILOVER by itself loses what the old primary goes on to acknowledge
// until it is told that it is one no more, some ten seconds later. Handover
// takes the steps in the order that loses nothing; the argument is in the comment
// of relay.
package drill
