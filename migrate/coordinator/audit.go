package coordinator

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/transload/transload/internal/control"
	"github.com/transload/transload/internal/protocol"
)

// why says for the audit what a record is changed for, and for whom.
func (t *term) why() string {
	verb, asker := t.desk.current()
	switch {
	case verb == "":
		return t.verb
	case asker == "":
		return verb
	}
	return verb + ", asked for by " + asker
}

// noteMove puts into the audit of both sides how a move went. Each change of a
// record is there already, so that nothing leans on this line: a side that does
// not answer goes without it.
func (t *term) noteMove(ctx context.Context, r MoveReport) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askFor)
	defer cancel()
	ev := control.Event{Who: t.id, What: "moved " + goalText(r.Percent), Why: t.why(), Figures: r.figures()}
	if !r.Committed {
		ev.What, ev.Why = "gave up to move "+goalText(r.Percent), ev.Why+": "+r.Reason
	}
	for _, s := range protocol.Sides {
		if err := t.sides[s].store.Note(ctx, ev); err != nil {
			t.log.Debug("move not noted", "side", s.String(), "err", err)
		}
	}
}

// figures are those of a move that the audit keeps.
func (r MoveReport) figures() map[string]string {
	f := map[string]string{"move": r.ID, "prepare_ms": tenths(r.PrepareMS)}
	if r.HoldMS > 0 {
		f["hold_ms"], f["longest_wait_ms"] = tenths(r.HoldMS), tenths(r.LongestWait)
		f["keys_compared"], f["keys_repaired"] = strconv.FormatInt(r.Compared, 10), strconv.FormatInt(r.Repaired, 10)
	}
	return f
}

func tenths(f float64) string { return strconv.FormatFloat(f, 'f', 1, 64) }

// goalText tells a move's goal in few words.
func goalText(percent map[string]int) string {
	names := sortedKeys(percent)
	if all := slices.Sorted(maps.Values(percent)); len(all) > 1 && all[0] == all[len(all)-1] {
		return fmt.Sprintf("%s to %d %%", strings.Join(names, ", "), all[0])
	}
	for i, name := range names {
		names[i] = fmt.Sprintf("%s to %d %%", name, percent[name])
	}
	return strings.Join(names, ", ")
}

// thisProcess names the process for people: it is in the audit and on the lock.
func thisProcess() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown host"
	}
	return fmt.Sprintf("%s, pid %d", host, os.Getpid())
}
