// Package queue runs jobs, on github.com/hibiken/asynq: typed, through a failover,
// and while their queue is moved to another Redis. What is acknowledged is run, and
// what is finished is not run again.
//
//	var SendSMS = queue.Define[SMS]("sms.send", queue.In("sms"), queue.Timeout(20*time.Second))
//
//	c, err := queue.NewClient(client, queue.Options{})    // any redis.UniversalClient; dials nothing
//	receipt, err := SendSMS.Enqueue(ctx, c, SMS{To: to})  // New, Duplicate or Stored
//
//	s, err := queue.NewServer(client, queue.Config{Queues: map[string]int{"sms": 1}})
//	err = SendSMS.Handle(s, func(ctx context.Context, v SMS, m queue.Meta) error { … })
//	err = s.Run(ctx)                                      // until ctx is done
//
// What is in Redis is asynq's: its keys, its scripts, its format. Its own clients,
// servers, Inspector and dashboards work on the same queues. We add to a job a header,
// "transload", and a field, "lost", which asynq passes over.
//
// # The life of a job
//
//	                 Enqueue                   dequeue                success
//	(nothing) ─────────────────▶ pending ────────────────▶ active ───────────────▶ gone,
//	     │                          ▲  ▲                   │ │ │ │                 or completed
//	     │ with a delay             │  │ lease over, again │ │ │ │ Permanent, or    for Retain
//	     └───────▶ scheduled ───────┘  └───────────────────┘ │ │ │ no attempt left
//	                                ▲                        │ │ └───────────────▶ archived
//	                                └──────── retry ◀────────┘ └─ lost too often ──▶   │
//	                                ▲            error                                 │
//	                                └───────────────────── Rerun ──────────────────────┘
//
// # Enqueue
//
// The scripts are asynq's: its client is asked once, on a client that sends nothing,
// by which it enqueues jobs of each shape. Keys, arguments and message are made by us,
// for asynq takes twice as long, and NewClient refuses an asynq that makes others. So
// many jobs go in one pipeline, a WAIT goes on the connection that wrote, and a script
// whose reply was lost is sent again with the same id and the same nonce, which is in
// the job's header. The second copy
// finds the id taken. Then the job there is read: with our nonce in it, it is New, else
// a Duplicate. Either way it is in once.
//
// With Replicated so is a job whose primary fell silent before it said that a replica
// has it: who was promoted may never have heard of it.
//
// One case is left: the first copy was carried out, its reply lost, and the job was
// run, finished and deleted before the second copy arrives. It is run twice then, in
// the same words: Meta.IdempotencyKey is the nonce, so that Once applies nothing
// twice, and a job that is retained (Retain, each one with a key) is found.
//
// # Finished is finished
//
// asynq 0.25 and later tries an acknowledgement that Redis did not answer once more
// with a context that is over, that is never. So a job that ends while Redis is away
// for a moment is run again a minute later. We give asynq's server a client (wire) of
// which three scripts are not sent as they are:
//
//   - An acknowledgement is held, and sent until it is answered: the gate. If the lease
//     ends before that, or had ended before the handler did, the job is in a list in
//     this process (finished), and is settled by a script of ours as soon as Redis
//     answers, however long that takes: finish.lua. It takes the job out of whatever
//     state it is in by then, if it is the same one by its nonce.
//   - A dequeue is sent once. Sent again after a lost reply it would take a second job,
//     and leave the first to its lease.
//   - The list of leases that are over is answered with none. asynq would count an
//     attempt for each, and give up the job on its last one: with MaxRetry(0) any crash
//     loses it. sweep.lua puts such jobs back instead, at the head, uncounted; and what
//     is active without a lease, which asynq never finds, gets one, so that it is put
//     back half a minute later unless a worker has it. A job that was put back more than
//     Config.Lost times is archived: it may be what kills the workers.
//
// After an outage all leases are over at once, and workers want to tell what they have
// finished. So a sweeper waits until Redis has answered it for 10 s on end; servers
// settle what is finished twice a second. A job that this process has finished is not
// run again by it, and one that another run of it gives back is settled instead. What
// is left to Once: a process that dies between the end of a handler and Redis hearing
// of it; and a job that a failover put back, being run a second time before the first
// has ended.
//
// # Time
//
// Leases are by the workers' clocks, as asynq has it; the sweeper's is the server's. A
// worker renews a lease of 30 s each 5 s, so that its clock may be 25 s and Config.Grace
// slow before its jobs are put back while it has them.
//
// # Once
//
// An effect is claimed, applied, noted. Who finds a claim that is not over is told
// ErrBusy; one that is over means that a process died between, and nobody knows: the
// effect is in doubt, for Ask or a human to settle. A ledger that does not answer after
// the effect leaves a claim as well. So there is no order of crashes in which an effect
// is applied twice by Once, but for a ledger that loses what it has acknowledged. With
// SQLLedger.Tx effect and note are one transaction, and there is no doubt either.
//
// # Outbox
//
// A job that Redis does not take within Budget, or for which it is full, is put into a
// table, by option; and one that belongs to a transaction of the app's is put there by
// Store, in that transaction. One process at a time relays the table in order, by a
// claim that ends after 30 s. A row is deleted when Redis has the job. Who dies between
// the two, or is held up for longer than its claim, enqueues it again, or has another
// do so, under the same id and nonce: the job is there, for it is kept for 10 m at
// least when it is done.
//
// A row that Redis refuses may be at fault, or Redis may be: nobody can tell from an
// error's words. So it is passed over, and tried again as soon as Redis has taken a
// later one. Refused then as well, between which Redis took a job, it is put aside, for
// a human to put back. Order holds among what is relayed, but for one case: if Redis
// refused all and ceases to in the middle of the table, the one job by which that is
// seen comes before those that were passed over.
//
// # Stop
//
// asynq waits for each of its loops when it stops, and gives most of its commands a
// context without an end. The wire gives them one: 2 s after the stop began for those
// that look for work, since a dequeue that is cut off leaves its job to the lease, and
// Config.Stop and 4 s for acknowledgements and leases. What is finished and was not
// told has another second. A read that no context ends is left behind.
//
// # A migration
//
// All keys of a queue have one hash tag, so on a migrating client they change sides in
// one step, with the jobs that are run at that moment: their leases, ids and hashes are
// on the other side when they are acknowledged there. A hold parks the scripts for some
// tens of milliseconds; no handler sees it. asynq:queues is a key like others, and is
// said again each minute, since asynq says it once in the life of a process. Pause is a
// key of the queue; Cancel is published on both sides.
//
// Who would rather drain gives the new Redis to NewClient and NewServer and the old one
// as Options.Old and Config.Old: jobs are enqueued on the new one and run from both,
// until Drained proves the old one empty.
package queue
