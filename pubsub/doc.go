// Package pubsub brings live positions, chats and notices to browsers and to Go code:
// while Redis fails over, hangs or is moved to another server and back.
//
//	hub, err := pubsub.New(client, []pubsub.Topic{ // any redis.UniversalClient; dials nothing
//		{Prefix: "pos:", Delivery: pubsub.Latest},
//		{Prefix: "chat:", Delivery: pubsub.Recoverable},
//	}, pubsub.Options{})
//	go hub.Run(ctx)                                         // listens until ctx is done
//	receipt, err := hub.Publish(ctx, "pos:fleet-7", "truck-12", position)
//	sub, err := hub.Subscribe(ctx, "pos:fleet-7", "")       // in Go
//	sockets, err := hub.Handler(pubsub.Sockets{Identify: …, Authorize: …})
//	mux.Handle("/live", sockets)                            // over WebSockets
//	mux.Handle("/live.js", pubsub.Client())                 // the browser's half
//
// # What is kept where
//
// The topics are spread over Options.Partitions partitions. What belongs to one has
// one hash tag, so that a script may touch it on a Cluster; the tags are chosen so that
// each partition lies in its own share of the slots.
//
//	live:{TAG}            channel: every message of the partition's topics, and probes
//	live:{TAG}:t:TOPIC    hash: epoch, number, history; expires Topic.Keep after the last message
//	live:{TAG}:p:N:TOPIC  hash: page N of the last values; expires Topic.Keep after its last message
//	live:{TAG}:confirm    what WAIT waits for
//	live:{TAG}:side       which side of a plain pair has the partition
//
// A publish is one script: it numbers the message, keeps what is to be kept, and
// publishes it. So whatever has been heard has been kept before, and what Redis keeps
// is never behind what it has published. It changes the head of the topic and one page
// of last values, some tens of keys, so that a migration, which copies what a publish
// has changed, copies little even of a topic with thousands of vehicles.
//
// # Nothing is missed unnoticed
//
// Redis forgets a message as soon as it has published it: who is not connected has not
// got it, and is not told. But messages are numbered, without a hole. Each process has
// of each topic that somebody there follows what Redis keeps of it, and its number n:
//
//	heard n+1: take it.        heard ≤ n: there already, drop it.
//	heard > n+1, or subscribed anew, or heard again after a silence: read what Redis keeps.
//
// A topic is in the table of its partition before it is read, and read after the
// subscription was confirmed; so what is published is in what was read, or is heard
// after it. What is heard ahead waits for what is before it. Reading gives what was
// missed as it would have been heard, if it is still kept (Recoverable, Latest), and
// else is a gap, which every follower is told of before anything later.
//
// After an outage all topics of a process are read, before anybody waits for a new
// message: many of a partition in one script, while those who publish again what had no
// answer go a few at a time, so as not to take all connections.
//
// # One server after another
//
// A promoted replica lacks what was under way to it, and numbers on from where it is:
// number 17 may have been another message. So a topic's messages lie on lines, each
// with an epoch and numbered by one server. A script that finds that another server
// (INFO: run_id) wrote the topic's state begins a new line, and notes where the last
// one ended. Numbers only grow.
//
//	epoch a, server 1   1 2 3 4 5        (5 was never replicated)
//	epoch b, server 2           ⟍ 5′ 6 7
//	                            a ended at 4, as far as server 2 knows
//
// Who has a place on a is sent what a has up to its end, then told of a gap, then sent
// b. The gap is told even if nothing is missing, for nobody can know: it is left out
// only if it is proven that the new line lacks nothing of the old one. That is so when
// both servers are primaries now, one of each side of a migration: then the topic went
// over while both lived, and a migration loses nothing. Of last values there is no gap,
// but a snapshot, since what was seen may have been lost.
//
// So every message that WAIT has confirmed is on the promoted replica, on the line that
// is sent first, and reaches each follower of a Recoverable topic once and in order; and
// of any other that he gets, or he is told of a gap before he gets a later one. What is
// beyond this: a history that is too short (a gap is told), a server that may not say
// who it is (no INFO in scripts: lines never end, and a failover's losses are not told),
// and a failover between a message of an old primary that a process still hears and its
// next probe; that message is then one that was lost, and the gap follows.
//
// # A publish that was tried again
//
// A reply may be lost, and the message be published. Each publish has an id, and the
// script knows a topic's last 32. What is tried again is found there, and its number
// answered; if 32 others have been since it was first sent, nobody can know, and the
// script says that. go-redis's own retries are off for these scripts, since they do not
// say since when they try.
//
// # Silence
//
// A server that hangs keeps its connections; go-redis's PubSub.Channel does not notice
// (its check writes, and waits for no answer). Here each connection is given up when
// nothing has come for Options.Silence, not even the answer to a PING that was sent
// after a quarter of it. Whatever it has under way ends by itself; another one is made
// at once. One that was begun while the server hung is given up as soon as another
// server answers in its place.
//
// That proves that the server answers, not that what is published arrives: a connection
// to a primary that was replaced is in best health. So each partition is to be heard
// too. When nothing has come from it for a quarter of Silence, a process publishes a
// probe by the same way as messages: a script on the authority of the partition. What
// one process publishes all hear, so there is about one probe a partition in that time
// however many processes there are. A partition from which nothing has come for Silence
// is deaf: its connections are made anew, followers are told the age of what they see,
// and when it is heard again its topics are read, without waiting for the next message.
//
// # Slow subscribers
//
// Nothing is queued for a subscriber. He has a place in the topic, and fetches what is
// behind it whenever he can take more: from one list that all of a topic's subscribers
// in the process share, bounded by bytes. So 10,000 slow ones cost what one costs. Last
// values stand in the order of their numbers, so that what is behind a place is the
// newest value of each key that has changed since: whoever is slow skips what is old by
// that alone. Who falls out of a history is told of the gap, or ended, as the topic's
// policy says. A socket has one buffer more, what is being written, and is cut off when
// it has not taken that in time.
//
// # A migration
//
// A publish is a script on one key, so that the migrating client runs it on the side
// that has the authority, and carries the key as any other. The Hub asks it by the
// interface [Listener] which sides matter, listens on both from shadow to soak, and drops
// by number what it has. So it does not matter on which side, or in which order, a
// message is heard. Each message is also published on the other side, as an echo
// without effects, for those that can hear only that side at the moment.
//
// When a partition moves, the target begins a new line; both servers live, so that it
// is proven whole, and nobody is told of anything. When the migration is over each
// process reads its topics once more, while the source can still prove it. Later it
// cannot: a client that comes back with a position from before is told of a gap.
//
// Without a migrating client: Options.Also and [Hub.Move].
package pubsub
