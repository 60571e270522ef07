// Package ratelimit limits what a subject (a user, an address, a key of an API) may
// do, for all instances of an app together, and goes on doing so while Redis does not
// answer.
//
//	limiter, err := ratelimit.New(client, []ratelimit.Policy{
//		{Name: "per-minute", Limit: 100, Per: time.Minute},
//		{Name: "login", Limit: 5, Per: 15 * time.Minute, OnOutage: ratelimit.Deny},
//	})
//	…
//	d, err := limiter.Take(ctx, userID, ratelimit.Only("per-minute"))
//	if err != nil || !d.Allowed { … }
//
// [Limiter.Middleware] does that for HTTP, [NewStore] for apps on ulule/limiter. Any
// redis.UniversalClient will do, in any mode, and a migrating one.
//
// # How it counts
//
// All policies of a call are asked by one script in one round trip (take.lua), on the
// server's clock: each is taken from, or none is. The keys are rl:{subject}:policy
// (GCRA's end in :tat), the subject hashed, and every one expires; one that lost its
// expiry gets it back.
//
// The script counts each time that it is run, and go-redis runs a command again whose
// reply was lost. So it is sent as one that is not tried again; a call whose reply is
// lost has been counted at most once, and is decided as if Redis were away. With
// [ReqID] it may be sent again: the script remembers the id for a minute. What most
// calls are, one policy and nothing else, has a script of its own (window.lua,
// gcra.lua), which does the same with less.
//
// An instance that knows when a window ends, since it has asked in it before, takes a
// single unit without a script, by ZADD XX INCR: that is as atomic, and where the
// window is gone it counts nothing and makes no key, so that none is without an expiry.
// It is gone because its time is over, or because the server has lost it: a window that
// is given back whole is left there, with nothing used, and begins anew. So who knows a
// window that has not ended tells what was used in it. What was over the limit is given
// back by window.lua. Between the two calls others may see one unit more than there is,
// of a subject that has had its limit anyway: only one that is refunded or reset in
// that moment is denied once too often.
//
// # When Redis does not answer
//
// A decision waits 50 ms for Redis ([WithBudget]), for all that it asks of it together
// (package internal/budget): what hangs, be it a dial, a handshake or a reply, is left
// behind. A process that gets no processor for a while is late by as much. After ten
// calls in a row without an answer calls are not sent any more, but for one each 50 to
// 150 ms that finds out; the breaker is that of package internal/breaker, one for each
// sixteenth of the hash slots, so that a dead master of a cluster does not keep the
// others' subjects waiting. What is not answered is decided by Policy.OnOutage. Under
// [LocalShare] an instance grants
//
//	max(1, 0.8 · (N − seen) / n)
//
// units in a window: N is the limit, seen what Redis had counted when this instance
// heard of the subject last, n how many instances live. That each of them has asked
// Redis before the outage is not needed: a subject that was never seen has its share
// of the whole. The instances count themselves in Redis every 5 s, while they are used.
//
// What a server refuses (LOADING, READONLY, NOPERM, OOM, MOVED) was not counted: it is
// decided in the same way, and told to the log once a minute, as it may be for good.
//
// When Redis answers again, an instance tells what it has granted (merge.lua) before
// it asks, and also what it has granted to subjects that do not come back to it. Each
// such word has a name under which it counts once. What may have been counted already,
// since a reply was lost, is not told.
//
// After anything went wrong, the first question of each subject carries what was heard
// before, and the larger count wins: a replica that was promoted without the last
// ones, or a server that came back empty, opens no window again. Where nothing was seen
// to go wrong (a counter was evicted, or there was a failover while nobody asked) that
// holds for windows that are not there. So a Reset or Refund
// at one instance just before an outage may be undone by another one, which had not
// asked since; that errs on the strict side.
//
//	        answered                    not answered, or 50 ms are over
//	ask ───────────────▶ Redis's word        ┌──────────────────────┐
//	 ▲                                  ask ─┤ LocalShare: own share │
//	 │ told (merge.lua), and            ▲    │ Deny, Allow           │
//	 │ the larger count carried         │    └──────────┬───────────┘
//	 └───────────── answers again ◀─────┴── next call ──┘
//
// # By how much a limit may be exceeded
//
// Let R be what is granted by Redis in one of its windows of a subject, and L what is
// granted without it.
//
// R ≤ N + F. The script counts before it allows, one call at a time, and refuses what
// would make more than N; F is what Redis allowed, then lost, and was not told again.
// Migrations lose nothing (package migrate), and neither does a restart with
// appendfsync always. A failover loses what the promoted replica had not received yet,
// some milliseconds' worth, and a restart with appendfsync everysec up to a second's;
// of it, F is what the instances that had heard of it did not ask about since. A server
// that comes back empty, or evicts, has lost all: F ≤ N each time, and of a window no
// more than what was granted since the instance that asks next had asked last. One that
// was started since knows nothing, and a lost bucket of GCRA is full if no fault was seen.
//
// L ≤ Σᵢ max(1, 0.8 · N / nᵢ). What an instance has granted in a window is kept as long
// as the window lasts, whether Redis answers in between or not, and never passes its
// share, which is largest where nothing was seen. (Where more subjects than [WithMemory]
// are in use, one that was left alone for a minute may lose its place, and is then as one
// that was never seen.) If all know n instances, that is at
// most 0.8 · N + n. An instance that was started less than 5 s before an outage may not
// be known to the others, and knows 8 ([WithInstances]) or what Redis told it.
//
// So in one window at most
//
//	R + L ≤ N + 0.8 · N + n + F
//
// is granted, whatever fails, how often and for whom. The sum is reached where the
// instances have heard of nobody; where all had heard the last count c when Redis died,
// L ≤ 0.8 · (N − c) + n, and c + L ≤ N + n. If Redis is away for a whole window,
// L ≤ 0.8 · N + n is all.
//
// A hold of a migration (some 10 ms, 250 ms at most) parks a call. If its budget ends
// first it is decided as in an outage, which is in L; most are shorter than the budget.
//
// GCRA has no windows: in any time D, R ≤ Burst + D · N / Per + F, and L is at most 0.8
// of the same, plus n. Where another server takes over whose clock is ahead by s, R may
// grow by s · N / Per; none is ever locked out for longer than a full bucket takes.
//
// Deny has L = 0. Allow has no bound.
//
// # Attacks
//
// Subjects are hashed, so that those of headers are no longer than others, and none is
// ever logged. An instance remembers a bounded number ([WithMemory]): one that is in use
// is never driven out by others, and one without room is limited by Redis as ever but
// denied in an outage. A client's address is taken from X-Forwarded-For only as far as
// trusted proxies wrote it ([Proxies]), and one of IPv6 stands for its /64. A request id
// must not be the client's choice: who may repeat an id may repeat the request for
// nothing.
package ratelimit
