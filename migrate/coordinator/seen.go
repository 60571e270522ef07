package coordinator

import (
	"context"
	"fmt"

	"github.com/transload/transload/internal/protocol"
)

// A verb may wait for its turn while another operator's is carried out, and
// must then not do something else than was asked for: two who roll back from soak
// would end the migration. So a request tells the phase in which it was made.
// What counts is where the way back leads from there. The epoch would be too
// much: a rollback ends a cutover that is under way, which changes it.

// seen returns the phase now, or Unknown if a side does not answer: then the verb
// itself fails, and says why.
func (c *Coordinator) seen(ctx context.Context) protocol.Phase {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	recs, err := c.readings(ctx)
	if err != nil {
		return protocol.Unknown
	}
	return recs.phase()
}

// stillAsSeen refuses a verb that was asked for in another stretch of the
// migration.
func stillAsSeen(verb string, seen, now protocol.Phase) error {
	if seen == protocol.Unknown || wayBack(seen) == wayBack(now) {
		return nil
	}
	return refuse("phase", fmt.Sprintf("look at `migrate status`, and run %s again if it is still wanted", verb),
		"the migration was in %v when this was asked for, and is in %v now", seen, now)
}

// wayBack is where a rollback leads from a phase; Unknown means nowhere.
func wayBack(p protocol.Phase) protocol.Phase {
	switch p {
	case protocol.Shadow:
		return protocol.Off
	case protocol.Cutover, protocol.Soak:
		return protocol.Shadow
	}
	return protocol.Unknown
}
