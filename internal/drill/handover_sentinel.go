package drill

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/topology"
)

// A relay is a planned failover under sentinels while it runs.
//
// # Why it loses nothing
//
// Let P be the primary, and R the replicas that a sentinel may choose from.
//
//  1. P is told to hold writes (CLIENT PAUSE … WRITE). Whatever P has
//     acknowledged, and ever will until the pause ends, it has executed by then,
//     and its replication offset, read afterwards, counts it.
//  2. Each of R says that its own offset has reached that one. (P's view of its
//     replicas is up to a second old, so they are asked themselves.) Each of R now
//     has every write that was acknowledged.
//  3. SENTINEL FAILOVER. Whichever of R is promoted has all.
//  4. As soon as one of R says that it is a master, P is made its replica, still
//     under the pause. From now on P can acknowledge no write at all.
//  5. Only then the pause ends. The writes that waited are refused with READONLY,
//     which tells the client that they were not done, and its other connections
//     to P are cut, so that nobody goes on there.
//
// The pause ends by itself, whatever becomes of this process. It is shorter than
// down-after-milliseconds, for a sentinel's own messages wait behind it, and a
// longer one brings the failover that nobody planned. If the promotion does not
// come within it, the writes go on at P, and what P acknowledges from then on may
// be lost: that is an error, which says so, and P is made a replica as soon as
// the promotion does come.
//
// A user who interrupts it after step 3 does not stop the sentinels. To end the
// pause then would let P acknowledge what R lacks. So steps 4 and 5 are taken
// whatever becomes of the context, within bounds of their own. Before step 3 the
// pause is ended and nothing has changed: the last look at the context is in
// begin, right before the sentinel is told.
type relay struct {
	*Handover
	leader *redis.SentinelClient // the sentinel that is to do it
	old    *redis.Client
	peers  map[string]*redis.Client // of R, by address
	pause  time.Duration
	until  time.Time // when the pause ends by itself
}

const (
	// longestPause is what an app may be made to wait. Sentinels need two to three
	// of their turns, a tenth of a second each, for a promotion.
	longestPause = 2 * time.Second

	// shortestPause leaves room for that on a busy machine.
	shortestPause = 500 * time.Millisecond
)

// sentinel moves the primary of a set under sentinels.
func (h *Handover) sentinel(ctx context.Context) error {
	r := &relay{Handover: h, peers: map[string]*redis.Client{}}
	defer r.close()
	if err := r.prepare(ctx); err != nil {
		return err
	}
	unsteer, err := r.steer(ctx)
	if err != nil {
		return err
	}
	h.Began = time.Now()
	err = r.handOver(ctx)
	return errors.Join(err, unsteer(ctx))
}

func (r *relay) close() {
	if r.leader != nil {
		r.leader.Close()
	}
	if r.old != nil {
		r.old.Close()
	}
	for _, p := range r.peers {
		p.Close()
	}
}

// handOver takes the steps.
func (r *relay) handOver(ctx context.Context) error {
	if r.Plain {
		return r.plain(ctx)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	to := context.WithoutCancel(ctx) // a command that is given up may be done all the same, and later
	r.until = time.Now().Add(r.pause)
	if err := r.old.Do(to, "CLIENT", "PAUSE", r.pause.Milliseconds(), "WRITE").Err(); err != nil {
		return r.giveUp(ctx, "hold writes", err)
	}
	r.did("writes held")
	if err := r.inStep(ctx); err != nil {
		return r.giveUp(ctx, "wait until the replicas have every write", err)
	}
	r.did("replicas in step")
	if err := r.begin(ctx); err != nil {
		return r.giveUp(ctx, "SENTINEL FAILOVER", err)
	}
	if err := r.promotion(to, time.Until(r.until)-soon); err != nil {
		return r.tooLate(to, err)
	}
	r.did("promoted")
	if err := r.demote(to); err != nil {
		return &HandoverError{"make the old primary a replica", r.New + " is the primary; " + r.Old +
			" may acknowledge writes, which are lost, until the sentinels have made it a replica", err}
	}
	r.did("old primary follows, writes go on")
	return r.agreed(ctx)
}

// plain is SENTINEL FAILOVER and nothing else.
func (r *relay) plain(ctx context.Context) error {
	if err := r.begin(ctx); err != nil {
		return r.giveUp(ctx, "SENTINEL FAILOVER", err)
	}
	if err := r.promotion(ctx, handoverLimit); err != nil {
		return &HandoverError{"wait for the promotion", "the sentinels may yet promote a replica", err}
	}
	r.did("promoted")
	return r.agreed(ctx)
}

// inStep waits until each replica says itself that it has all that the primary
// has executed. Half the pause is for that.
func (r *relay) inStep(ctx context.Context) error {
	info, err := replication(ctx, r.old)
	if err != nil {
		return err
	}
	want, err := strconv.ParseInt(info["master_repl_offset"], 10, 64)
	if err != nil {
		return fmt.Errorf("%s tells no master_repl_offset", r.Old)
	}
	for addr, p := range r.peers {
		err := poll(ctx, time.Until(r.until)-r.pause/2, soon, func() error {
			info, err := replication(ctx, p)
			if err != nil {
				return err
			}
			if have, _ := strconv.ParseInt(info["slave_repl_offset"], 10, 64); have < want {
				return fmt.Errorf("replica %s is at offset %d, the primary at %d", addr, have, want)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// errUnheard is in the error of a sentinel that was told to begin and did not
// answer: it may yet do so.
var errUnheard = errors.New("the sentinel did not answer")

// begin has a sentinel begin, unless ctx has ended. From then on there is no way
// back.
func (r *relay) begin(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	err := r.leader.Failover(context.WithoutCancel(ctx), r.client.Config().SentinelMaster).Err()
	if _, refused := errors.AsType[redis.Error](err); err != nil && !refused {
		return fmt.Errorf("%w: %w", errUnheard, err)
	}
	if err == nil {
		r.sent = true
		r.did("SENTINEL FAILOVER")
	}
	return err
}

// promotion waits until one of the replicas says that it is a master.
func (r *relay) promotion(ctx context.Context, limit time.Duration) error {
	return poll(ctx, limit, soon, func() error {
		for addr, p := range r.peers {
			if role, err := askRole(ctx, p); err == nil && role == topology.Master {
				r.New = addr
				return nil
			}
		}
		return errors.New("no replica says that it is the primary")
	})
}

// demote makes the old primary a replica of the new one, ends the pause, and cuts
// the connections of those who would write there.
func (r *relay) demote(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanLimit)
	defer cancel()
	host, port, _ := net.SplitHostPort(r.New)
	if err := r.old.Do(ctx, "REPLICAOF", host, port).Err(); err != nil {
		return errors.Join(err, r.old.Do(ctx, "CLIENT", "UNPAUSE").Err())
	}
	err := r.old.Do(ctx, "CLIENT", "UNPAUSE").Err()
	return errors.Join(err, r.old.Do(ctx, "CLIENT", "KILL", "TYPE", "normal").Err())
}

// agreed waits until most sentinels name the new primary and the old one follows
// it: until then a second failover would find no good replica. Nobody waits for
// that any more once ctx has ended: no write depends on it.
func (r *relay) agreed(ctx context.Context) error {
	err := poll(ctx, handoverLimit, 10*probeEvery, func() error {
		if err := r.mostName(ctx, r.New); err != nil {
			return err
		}
		info, err := replication(ctx, r.old)
		if err == nil && (info["role"] != "slave" || info["master_link_status"] != "up") {
			err = fmt.Errorf("%s is no replica in touch with its primary yet", r.Old)
		}
		return err
	})
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return &HandoverError{"wait for the sentinels", r.New + " is the primary and takes writes; look at SENTINEL REPLICAS", err}
	}
	r.did("sentinels agree")
	return nil
}

// giveUp ends a pause before anything was moved. A sentinel that did not answer
// may yet do what it was told.
func (r *relay) giveUp(ctx context.Context, step string, err error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanLimit)
	defer cancel()
	state := "nothing has changed: writes go on at " + r.Old
	if errors.Is(err, errUnheard) {
		state = "writes go on at " + r.Old + "; should the sentinel promote a replica after all, what " + r.Old + " acknowledges from then on is lost"
	}
	if e := r.old.Do(ctx, "CLIENT", "UNPAUSE").Err(); e != nil {
		state += fmt.Sprintf(", at the latest in %v, when its pause ends by itself", time.Until(r.until).Round(time.Millisecond))
	}
	return &HandoverError{step, state, err}
}

// tooLate lets writes go on, since no promotion came within the pause, and sees
// to it that the old primary does not acknowledge any once it does come.
func (r *relay) tooLate(ctx context.Context, err error) error {
	clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), handoverLimit)
	defer cancel()
	_ = r.old.Do(clean, "CLIENT", "UNPAUSE").Err() // it ends by itself in a moment
	if r.promotion(clean, handoverLimit) != nil {
		return &HandoverError{"wait for the promotion", "writes go on at " + r.Old + ", and no replica was promoted after all", err}
	}
	state := fmt.Sprintf("%s is the primary, but the pause had ended before: writes that %s acknowledged in between are lost", r.New, r.Old)
	return &HandoverError{"wait for the promotion", state, errors.Join(err, r.demote(clean))}
}

// replication returns the fields of INFO replication.
func replication(ctx context.Context, rdb *redis.Client) (map[string]string, error) {
	text, err := rdb.Info(ctx, "replication").Result()
	if err != nil {
		return nil, err
	}
	return infoFields(text), nil
}
