package queue

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// A Progress says how far an effect has come.
type Progress uint8

const (
	Fresh   Progress = iota + 1 // nobody has begun it; the caller has now
	Busy                        // another run is at it
	Doubt                       // a run began it, and has not been heard of within its claim
	Applied                     // it is done
)

// A Ledger notes effects, so that no second run of a job applies one again. It must
// outlive what the queue may lose: the app's database is best (NewSQLLedger), then a
// Redis with replicas (NewRedisLedger). Any error means that nobody knows whether the
// note was taken; each call may be made twice. It is safe for concurrent use.
type Ledger interface {
	// Begin claims an effect for an owner, if nobody has. The same owner may claim
	// twice.
	Begin(ctx context.Context, effect, owner string, claim time.Duration) (Progress, error)
	// Retake claims an effect that is in doubt, and reports whether it was.
	Retake(ctx context.Context, effect, owner string, claim time.Duration) (bool, error)
	// Commit notes that an owner's effect was applied.
	Commit(ctx context.Context, effect, owner string) error
	// Release forgets an owner's claim: the effect has not been applied.
	Release(ctx context.Context, effect, owner string) error
}

// An OnceOption is a choice of Once.
type OnceOption func(*onceSettings)

type onceSettings struct {
	claim time.Duration
	ask   func(ctx context.Context) (applied bool, err error)
}

// Claim is how long applying an effect may take, which ends its context; after that
// another run may find it in doubt. The default is 1m.
func Claim(d time.Duration) OnceOption {
	return func(s *onceSettings) { s.claim = max(d, time.Second) }
}

// Ask has an effect that is in doubt settled by who knows: the provider that was
// given the idempotency key. A provider that knows keys by itself need not be asked:
// return false, and it is called again with the same one.
func Ask(f func(ctx context.Context) (applied bool, err error)) OnceOption {
	return func(s *onceSettings) { s.ask = f }
}

const (
	// commitFor is how long Once tries to note what was applied.
	commitFor = 5 * time.Second

	// commitTry bounds one try.
	commitTry = 3 * time.Second
)

// Once applies an effect unless it was applied before: a mail, an SMS, a booking
// elsewhere. The effect's name is best the job's Meta.IdempotencyKey, or that and a
// word if the job has several.
//
// An error of apply means that the effect was not applied, and Once may be called
// again. Where apply cannot know that, let it return an error that wraps ErrInDoubt.
// A process that dies between effect and note leaves the effect in doubt as well.
// Then Ask decides, and without Ask the error is ErrInDoubt and permanent: the job
// goes to the archive for a human to look, neither lost nor done twice. While another
// run is at it the error is ErrBusy.
//
// An effect that is rows in the ledger's own database leaves no doubt: SQLLedger.Tx.
func Once(ctx context.Context, l Ledger, effect string, apply func(ctx context.Context) error, opts ...OnceOption) error {
	s := onceSettings{claim: time.Minute}
	for _, o := range opts {
		o(&s)
	}
	if effect == "" {
		return Permanent(fmt.Errorf("%w: Once: the effect has no name", ErrOption))
	}
	owner := newNonce()
	progress, err := begin(ctx, l, effect, owner, s.claim)
	if err != nil {
		return fmt.Errorf("queue: once: begin: %w", err)
	}
	switch progress {
	case Applied:
		return nil
	case Busy:
		return ErrBusy
	case Doubt:
		if applied, err := s.resolve(ctx, l, effect, owner); applied || err != nil {
			return err
		}
	}
	return s.apply(ctx, l, effect, owner, apply)
}

// begin claims an effect. A ledger that does not answer may have noted the claim, which
// would be in doubt when it is over, though nothing was applied: so the same owner asks
// again, and gives it back at last.
func begin(ctx context.Context, l Ledger, effect, owner string, claim time.Duration) (Progress, error) {
	for until := time.Now().Add(commitFor); ; {
		progress, err := l.Begin(ctx, effect, owner, claim)
		if err == nil {
			return progress, nil
		}
		if time.Now().After(until) || !sleep(ctx, 200*time.Millisecond) {
			release(ctx, l, effect, owner)
			return 0, err
		}
	}
}

// release gives back a claim, as far as the ledger answers: else it is in doubt, and
// nobody applies the effect twice.
func release(ctx context.Context, l Ledger, effect, owner string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTry)
	defer cancel()
	_ = l.Release(ctx, effect, owner)
}

// resolve settles what is in doubt, or claims it.
func (s *onceSettings) resolve(ctx context.Context, l Ledger, effect, owner string) (applied bool, err error) {
	if s.ask == nil {
		return false, Permanent(fmt.Errorf("%w: a run of it ended on the way: see Once and Ask", ErrInDoubt))
	}
	taken, err := l.Retake(ctx, effect, owner, s.claim)
	if err != nil {
		return false, fmt.Errorf("queue: once: retake: %w", err)
	}
	if !taken {
		return false, ErrBusy // another run was faster
	}
	applied, err = s.ask(ctx)
	if err != nil {
		return false, fmt.Errorf("queue: once: ask: %w", err) // in doubt again when the claim is over
	}
	if applied {
		return true, commit(ctx, l, effect, owner)
	}
	return false, nil
}

func (s *onceSettings) apply(ctx context.Context, l Ledger, effect, owner string, apply func(context.Context) error) error {
	bounded, cancel := context.WithTimeout(ctx, s.claim)
	defer cancel()
	err := apply(bounded)
	switch {
	case errors.Is(err, ErrInDoubt):
		return err
	case err != nil:
		release(ctx, l, effect, owner)
		return err
	}
	return commit(ctx, l, effect, owner)
}

// commit notes what was applied. If the ledger is away for long, the job is done all
// the same, and what the ledger has is a claim: it lets nobody apply it again.
func commit(ctx context.Context, l Ledger, effect, owner string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitFor)
	defer cancel()
	for {
		try, cancel := context.WithTimeout(ctx, commitTry)
		err := l.Commit(try, effect, owner)
		cancel()
		if err == nil || !sleep(ctx, 200*time.Millisecond) {
			return nil
		}
	}
}
