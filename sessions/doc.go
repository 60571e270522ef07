// Package sessions keeps users logged in: while Redis fails over, while it is moved
// to another server and back, and for a bounded time while it is not there at all.
//
//	m, err := sessions.New(client, sessions.Options{Keys: keys}) // any redis.UniversalClient; dials nothing
//	mux.Handle("/", m.Middleware(app))
//	s, err := m.Start(w, r, user, values)                        // login: a new id, always
//	s, state := sessions.From(r.Context())                       // Live, Degraded or Anonymous
//	confirmed, err := m.Logout(w, r)
//
// [Manager.SCS] is a store for github.com/alexedwards/scs instead.
//
// # What is kept where
//
// An id is 256 random bits, and stands in the cookie alone. Everything else (keys,
// lists, handles, logs) has its hash, H, which leads to no session.
//
//	sess:{H}            hash: user, values (JSON), version, times, a nonce of the last change
//	sess:u:NAME:{user}  sorted set: H of the user's sessions by time of entry
//	sess:scs:{H}        string: when it ends, and what scs stores
//
// In a session's place a tombstone may lie, which is a hash with the field x. Each key
// has a hash tag and an expiry from its first moment. No script touches two keys, so
// that a user's sessions may lie on any node; no request walks over keys. A request
// costs one round trip: HMGET, or, each twentieth of the idle time, a script that also
// sets the expiry; what HMGET does not find is asked for once more by that script,
// which no client sends to a replica. The server ends sessions by expiry, on its own
// clock: the earlier of the absolute end and the idle time, and no process decides that
// by its own clock unless Redis is away. What scs stores ends when scs says.
//
//	            Start                    Rotate (of another id: retired)
//	(nothing) ─────────▶ live, version n ─────────▶ retired, read-only, for Grace
//	    ▲                  │   ▲ │                      │            │
//	    │          expiry  │   └─┘ save: n+1            │ Logout     │ expiry
//	    ├──────────────────┘                            ▼            │
//	    │                  └── Logout, Revoke ──▶ tombstone          │
//	    └───────────────────────── expiry ─────────────┴─────────────┘
//
// # A reply that is lost
//
// go-redis sends a command again when its reply does not come, scripts too, and a
// command that was given up may still arrive later. So each script finds out
// whether it has run before: create and save by their nonce, retire by the id that
// replaces, revoke by its own tombstone; it then answers as it did. And what arrives
// after others have gone on does nothing: a save of an older version, a creation or
// a save of what was revoked. touch only sets an expiry that it computes itself.
//
// # Save against logout
//
// A save changes what is there and never makes it, and only if the version is the
// one that was read. So after a logout, or an expiry, it is ErrNotFound. Creation
// makes what is not there, and comes before anybody has the id, save where it is
// late or restores (below). Both find the tombstone, which stays until the session
// would have ended at the latest: no delay outlives it. An id that was never there
// gets no tombstone on logout, else invented ids would fill the memory.
//
// A commit of scs has no version; it is SET with GET, which Redis refuses where the key
// is no string: there a tombstone stays, without a script.
//
// # Rotation against requests under way
//
// Rotate reads the session at version n, creates its copy under a new id, and
// retires the old one if that is still at n. A save that came before has raised the
// version: then the copy is scrapped, and made again. A save that comes afterwards
// is ErrConflict. So no acknowledged save is lost, and nobody writes to two ids. The
// cookie is set last; a crash before that leaves the old id as it was, or in its
// grace, and a copy that nobody knows. If the reply to retire is missing, the copy
// is there for certain, so its cookie is given out, and the old id is revoked as
// soon as Redis answers: with the old cookie the user might be out when the grace
// is over. (A save by a request under way may then be on the old id alone.)
//
// The retired id shows what the session was, for Grace, and never what it becomes:
// at a login, what an attacker planted leads to his own bait and not to the user. It
// knows the hash of its successor for one purpose: a logout by it ends that too. A
// logout that comes before retire makes retire fail, and the copy is scrapped. So in
// every order logout wins.
//
// # Revoke-all against login
//
// Start enters the id into the user's list first, and creates the session then.
// RevokeUser reads the list, and puts a tombstone for each id in it, whether there is
// a session or not. Of the two scripts on the one list key one is first. If the
// entry is, the id gets its tombstone: before the creation, which then fails
// (ErrConflict, no cookie), or after it. If the reading is, the login began after
// it, and stays. No third case leaves a live session out of the list: entries leave
// it when no session of their age can live, or after the tombstone. A rotation is a
// login in this, and if its old id is revoked before it is retired it fails, if
// after, the revocation follows to the new one.
//
// The list outlives its entries by a minute, since its node may have another clock.
// An entry may dangle, after a crash or an idle expiry; List does not show it, and
// a login beyond PerUser clears such entries away: tombstone first.
//
// # A migration
//
// On a migrating client all of this holds without a word here: each script has one
// key, whose authority is on one side at any moment, and keys are moved with their
// expiry. A hold parks scripts (saves, logins, touches) for some tens of milliseconds
// and no HMGET; Budget must be longer than that. A call whose lease ended is unknown,
// therefore ErrUnavailable, and its script may be run again. WAIT asks the server of
// the connection that wrote, inside Watch; if the key moved meanwhile, Watch fails
// and the call is run again on the other side, where nonces have moved too.
//
// # A failover
//
// A promoted replica lacks what was under way to it. Login and logout therefore WAIT
// for one replica where there is one, on the connection that wrote, and for both of
// their keys; they say whether it confirmed. So does a rotation, for the new id and for
// the end of the old one, which would be good again otherwise. With more than one
// replica the one that is promoted has to be the one that is furthest, as Sentinel and
// Cluster choose, unless they cannot reach it. An unconfirmed login may be lost, an
// unconfirmed logout undone, by a failover within the replication lag. Saves and
// touches do not wait: the last of them may be undone, as a whole, with their version.
// That does not come again, since a version is the time of its save at least: so who
// read what was lost cannot save over what came after it, and the fall-back takes the
// latter. Migrations move what is there, so that they lose nothing of either.
//
// A session that Redis has lost is gone, and ErrNotFound, unless there is a
// fall-back. It is never made anew from a process's memory or an envelope: these do
// not know of a logout elsewhere.
//
// # Redis away
//
// No answer within Budget, or a breaker that is open (package internal/breaker: ten
// times no answer; a try each 150 ms), is ErrUnavailable. What is answered then has
// been confirmed by Redis no longer than Outage ago:
//
//	memory of this process → fall-back → envelope in the request → 503, cookies left alone
//
// (what the fall-back does not have is 503 at once: it has ended, which an envelope does
// not know, or was begun while the database was away, or before there was one)
//
// and is Degraded: to be read, never saved; an id that was replaced for Grace at
// most. Of what this process has ended, or seen a tombstone of, none of them is
// asked. An envelope is an HMAC over the hash of the id, user, times and moment of
// issue, so it is good with its own id alone, in every process with the key. Both are
// bounded on this process's clock; an envelope of more than a minute in the future is
// none. What cannot be known then is a logout in another process; for what must not
// be done after it, use RequireLive.
//
// A logout while Redis is away is denied from in this process at once, and queued
// until Redis answers. A queued revocation of all sessions of a user ends those that
// were begun before it was asked for.
//
// # The fall-back
//
// A database row is written between the list's entry and the creation, and removed
// before the tombstone is put. What Redis does not have and the database does is
// restored: entry, creation, and the row is read once more. If a logout came between
// the first reading and the creation, its tombstone denies the creation where Redis
// has got it (a session that the database had gets one, whether Redis had it or not);
// and where its row alone was removed, at a rotation, the second reading sees that,
// and what was restored is revoked. What is left: a process that stops for longer
// than Grace between reading and restoring a rotated id, and dies right after.
package sessions
