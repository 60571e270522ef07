package topology

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/command"
)

// mostTries is how many replicas a read is tried on before the primary.
const mostTries = 2

// mostRounds is how often a read that found neither primary nor replica goes
// round before it waits for the primary alone.
const mostRounds = 3

// An answer says what the end of a read says of the server.
type answer uint8

const (
	answered  answer = iota // it is an answer, be it an error's
	elsewhere               // the keys are on another node of the cluster
	unable                  // the server does not answer, or not now
)

func answerOf(err error) answer {
	_, reply := errors.AsType[redis.Error](err)
	_, moved := redis.IsMovedError(err)
	_, ask := redis.IsAskError(err)
	switch {
	case moved, ask, redis.IsTryAgainError(err):
		return elsewhere
	case redis.IsLoadingError(err), redis.IsMasterDownError(err), redis.IsClusterDownError(err),
		redis.IsMaxClientsError(err), redis.IsAuthError(err):
		return unable
	case err == nil, errors.Is(err, redis.Nil), reply:
		return answered
	}
	return unable
}

// read runs a read on a replica that has seen what this process wrote of its
// keys, and on the primary if there is none or none of them answers.
func (r *reader) read(ctx context.Context, keys []string, w work) error {
	table := r.routes.Load()
	if table == nil {
		r.start(ctx)
	}
	at := table.of(command.Slot(keys[0]))
	if at == nil {
		r.counts.noReplica.Add(w.n())
		return w.onPrimary(ctx)
	}
	var wrote int64
	var own bool
	if r.own != nil {
		wrote, own = r.own.wrote(keys)
	}
	why := &r.counts.own
	if !own {
		done, tried, err := r.onReplicas(ctx, at, w, wrote)
		switch {
		case done:
			return err
		case tried:
			why = &r.counts.failed
		case !at.any(func(n *readNode) bool { return n.fit(r.now(), 0) }):
			why = &r.counts.noReplica
		}
	}
	why.Add(w.n())
	return r.fallBack(ctx, at, w)
}

// fallBack reads from the primary. While that does not answer, replicas do, even
// if this process has just written the key: else a dead primary would stop these
// reads for as long as a failover takes, for the sake of writes that may be lost
// with it. Where no replica is well it does what a client without replicas does.
func (r *reader) fallBack(ctx context.Context, at *shard, w work) error {
	for range mostRounds {
		if !at.any((*readNode).alive) {
			break
		}
		err := r.onPrimary(ctx, at.primary, w)
		if answerOf(err) != unable || ctx.Err() != nil {
			return err
		}
		if done, _, err := r.onReplicas(ctx, at, w, 0); done {
			r.counts.away.Add(w.n())
			return err
		}
	}
	return w.onPrimary(ctx)
}

func (s *shard) any(f func(*readNode) bool) bool { return slices.ContainsFunc(s.replicas, f) }

// onPrimary bounds a try on the primary by the time that one reply may take, or
// half of it if the primary did not answer when it was last looked at, and leaves
// time for a replica.
func (r *reader) onPrimary(ctx context.Context, p *readNode, w work) error {
	most := r.bound
	if p != nil && p.up.Load() && !p.suspected.Load() {
		most *= 2
	}
	bounded, cancel := context.WithTimeout(ctx, shareOf(ctx, most, 2))
	defer cancel()
	err := w.onPrimary(bounded)
	if p != nil && answerOf(err) == unable && ctx.Err() == nil {
		p.suspect()
	}
	return err
}

// onReplicas tries up to mostTries replicas that are fit, in turn. It reports
// whether the read is done, for better or worse, and whether any was tried.
func (r *reader) onReplicas(ctx context.Context, at *shard, w work, wrote int64) (done, tried bool, err error) {
	now, first, left := r.now(), int(r.turn.Add(1)%1024), mostTries
	for i := range at.replicas {
		n := at.replicas[(first+i)%len(at.replicas)]
		if left == 0 || !n.fit(now, wrote) {
			continue
		}
		tried = true
		ok, err := r.try(ctx, n, w, left+1)
		if ok || ctx.Err() != nil {
			return true, true, err
		}
		left--
	}
	return false, tried, nil
}

// try runs a read on one replica, in a part of the time that is left: for others
// must be left too.
func (r *reader) try(ctx context.Context, n *readNode, w work, others int) (ok bool, err error) {
	run, rdb := n.run.Load(), n.reads.Load()
	if rdb == nil {
		return false, nil
	}
	bounded, cancel := context.WithTimeout(ctx, shareOf(ctx, r.bound, others))
	defer cancel()
	err = w.on(bounded, rdb)
	switch answerOf(err) {
	case answered:
		if n.run.Load() != run && !n.anywhere { // it may have been another process, without data
			return false, err
		}
		n.served.Add(w.n())
		return true, err
	case elsewhere:
		select {
		case r.moved <- struct{}{}:
		default:
		}
	case unable:
		if errors.Is(ctx.Err(), context.Canceled) {
			break // by the caller
		}
		if broken(err) {
			n.lookNow() // one connection, not the server
			break
		}
		n.suspect()
	}
	return false, err
}

// broken reports whether err is that of a connection that was ended, and not of a
// server that does not answer.
func broken(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return errors.Is(err, io.EOF) || ok && op.Op != "dial" && !op.Timeout()
}

// shareOf is how long one of several tries may take.
func shareOf(ctx context.Context, most time.Duration, tries int) time.Duration {
	if deadline, ok := ctx.Deadline(); ok {
		most = min(most, time.Until(deadline)/time.Duration(tries))
	}
	return most
}
