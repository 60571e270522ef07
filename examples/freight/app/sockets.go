package app

import (
	"context"
	"strings"
	"time"

	"github.com/transload/transload/pubsub"
)

// MayFollow says that who is signed in may see the trucks, and news of loads.
func (a *App) MayFollow(_ context.Context, _ pubsub.Peer, topic string) error {
	if topic == fleetTopic || strings.HasPrefix(topic, newsTopic) {
		return nil
	}
	return pubsub.ErrDenied
}

// StillIn says whether the session behind a socket lives. While Redis is away nobody
// can say, and the socket stays.
func (a *App) StillIn(ctx context.Context, p pubsub.Peer) error {
	list, err := a.Sessions.List(ctx, p.User)
	if err != nil {
		return err
	}
	for _, s := range list {
		if s.Handle() == p.Session {
			return nil
		}
	}
	return pubsub.ErrDenied
}

// leaveWithin bounds telling the other processes of it: the user waits for that.
const leaveWithin = 300 * time.Millisecond

// Leave closes the sockets of a user who has signed out.
func (a *App) Leave(ctx context.Context, p pubsub.Peer) {
	a.Gone(p.User)
	ctx, cancel := context.WithTimeout(ctx, leaveWithin)
	defer cancel()
	if err := a.Hub.Disconnect(ctx, p); err != nil {
		a.log.Warn("other processes were not told that a user has signed out: they will see at their next look",
			"workload", "pubsub", "op", "disconnect", "err", err)
	}
}
