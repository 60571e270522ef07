package pubsub

import "errors"

var (
	// ErrUnavailable means that Redis gave no answer in time. A message may have been
	// published all the same; it was not published twice.
	ErrUnavailable = errors.New("pubsub: Redis unavailable")

	// ErrTopic means that a topic, a key or a position cannot be used; the error that
	// wraps it says why.
	ErrTopic = errors.New("pubsub: bad topic")

	// ErrTooLarge means that a value, as JSON, is longer than Options.MaxValue. Publish
	// where it can be fetched instead.
	ErrTooLarge = errors.New("pubsub: value is too large")

	// ErrFull means that a topic of last values has Topic.Keys keys already. Remove
	// those that are over, or spread them over more topics.
	ErrFull = errors.New("pubsub: topic has too many keys")

	// ErrSlow means that a subscriber fell behind by more than is kept, on a topic whose
	// policy is SlowClose.
	ErrSlow = errors.New("pubsub: subscriber is too slow")

	// ErrClosed means that the Hub's Run, or the subscription, has ended.
	ErrClosed = errors.New("pubsub: closed")

	// ErrOption means that an option has a value that cannot be used; the error that
	// wraps it names the option.
	ErrOption = errors.New("pubsub: bad option")
)
