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
// # Failover
//
// A client in mode sentinel is a plain client of go-redis whose dialler asks a
// watcher for the primary. (go-redis's own is bound to one sentinel: with that
// one hung beside a dead primary it was away for 31 s.) The watcher starts with
// the first connection and ends with Close, which waits for it. It keeps
//
//   - a connection and a subscription to every sentinel, those learned from others
//     among them; each is asked once a second, and what one publishes is a hint to
//     look at once. One that hangs holds up nobody: the others' answers do;
//   - a connection to every data server, by which that says how it is (INFO
//     replication): once a second, and while there is trouble 20 times. Trouble is
//     a connection that broke or timed out, a READONLY reply, a server that does
//     not answer, and a sentinel that tells of a failover.
//
// Who waits for the sentinels to name a new primary loses the 0.9 to 2 s that word
// takes; the promoted replica itself says so at once. But not every server that
// says it is a primary is one: an old one that wakes up after it was stopped says
// so too, and so does a replica that an operator has cut loose by mistake. So:
//
//  1. A sentinel's word with a newer epoch than the one heeded last decides. Only
//     the leader of a failover, elected by a majority or told by an operator,
//     makes a new epoch, so that one sentinel is enough, and those that are behind
//     cannot take it back. At first, when nothing was heeded yet, a majority must
//     agree, or all must have answered or timed out: one that is behind could lead
//     a new client to an old primary.
//  2. A replica that turns primary under our eyes, not longer than 2 s before the
//     trouble began, is the new primary if the present one has lost its place: it
//     says itself that it is a replica; or a sentinel says that it is down by
//     common consent or being replaced; or it does not answer and no majority of
//     the sentinels, asked since, sees it up. An old primary that wakes up was no
//     replica, so it is never taken. A stray one turned when all was well; or if a
//     mere connection broke at that moment, the primary has not lost its place. If
//     only we are cut off from the primary, a majority sees it up. What is left is
//     an operator who cuts a replica loose in the very seconds in which sentinels
//     replace the primary by another: then 1 corrects it, within a second or two.
//  3. A primary that says that it is a replica of one that says it is primary has
//     handed over, as when an operator does it by hand without sentinels.
//  4. One that was taken by 2 or 3 and that no sentinel has named for 10 s (the
//     leader died before it could tell) gives way to what a majority names, if
//     that one says that it is a primary; at once if it has become a replica again.
//     Until then it is used: it is the only one that takes writes.
//
// What a server said before it was chosen is not held against it, since it was a
// replica then. A server that refuses to tell (no right to INFO or ROLE) is taken
// at the sentinels' word; failovers are then followed as fast as that comes.
//
// Each new connection asks ROLE after its handshake, before it is given out, and
// is refused if it does not lead to a primary. Connections belong to the primary
// that they were made to and end when that is deposed, in flight or idle,
// subscriptions too. What was in flight fails as on any broken connection and is
// tried again by the same rules; whether it was carried out is not known. No order of
// events leaves a connection behind: a dial joins its primary's connections before
// it begins and after it has ended, and either is refused once these have ended.
//
// While there is no primary that answers, calls wait in the dialler, within their
// own deadline, until it has been away for twice DialTimeout; then they fail with
// ErrNoPrimary, at once. Retries are not spent on a server that is known to be dead. What they get from the dialler is not
// an error but a connection that fails when it is used, since a pool of go-redis
// that has seen PoolSize dials fail tries only once a second from then on.
//
// On a cluster go-redis keeps the map of slots. The watcher asks every node how it
// is, and three that answer for their map, at the same pace; when one tells of
// other masters than go-redis knows, or a connection breaks, go-redis is made to
// read its map again, every 50 ms until they agree. Calls to a master that does
// not answer wait until it is back or the map names another; then its connections
// end, and calls go where the map says. The map itself decides: nodes agree on it
// by epochs of their own, and one that is asked of a slot that it does not own says
// who does. A master that hands over while it answers keeps its connections, since
// it says MOVED.
//
// # The rest
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
// # Reads from replicas
//
// With Reader.From = ReadReplica a client is a front: reads of keys that a replica
// answers alike (internal/command knows which) go to a replica, all else to the
// client of the primary. Without it there is no front, and nothing costs more.
//
// One number says what a replica may answer: of which moment its data are. Every
// node is asked for its offset each half second. The primary's, asked for at t, is
// noted as a mark (t, offset); whatever was acknowledged before t lies before that
// offset. A replica of the same stream that is as far has all of it: its data are
// of the latest t whose offset it has reached, and they only get newer. From this
// follows:
//
//   - A replica is left out when that moment is longer ago than MaxLag. Whether it
//     lags, has lost its primary, or the primary is dead, is the same to who reads.
//     When the primary dies, no new marks come, so that all replicas age from there
//     and reads go on for MaxLag.
//   - A write whose reply came at w is in every replica whose moment is w or later.
//     So a key is read from the primary while a write of it is under way, for
//     OwnWrites after it, and on until a replica's moment has passed w. Writes are
//     remembered in stamps that keys share by hash: a collision sends a read to the
//     primary, never to a replica that has not got the write.
//   - Marks are taken from that server alone which is the primary for the sentinels
//     or the cluster. An old primary that was cut off, with replicas of its own,
//     cannot make these look fresh, and neither can a replica that was promoted by
//     mistake: its new stream has no marks.
//   - Another process at the same address begins with no moment. It may be empty
//     for a while, and answer all the same. Each connection for reads asks for the
//     run id before it is used, and a reply counts only if the run id is still what
//     it was when the replica was chosen.
//
// A read that has no answer goes on to another replica, then to the primary, each
// try within its bound and its share of the deadline. A node that did not answer
// is suspected until it has answered a look, which is made at once. While the
// primary does not answer, replicas are read whatever was written: the writes that
// they may lack are those that a failover may lose. This is the one case in which
// an own write may not be seen.
//
// A pipeline that was not sent leaves its error on every command of it, whatever
// the reason: go-redis does so for errors of the network alone, and a server that
// refuses a handshake would make writes look done that it never had.
//
// Passwords are kept as Secret, which prints as "***" whichever way it is
// printed. Errors name the setting at fault and never its value.
package topology
