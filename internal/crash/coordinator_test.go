package crash

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/transload/transload/migrate/coordinator"
)

// orderVar carries an order to a coordinator's process, as JSON.
const orderVar = "TEST_CRASH_ORDER"

// An order says what a coordinator's process is to do.
type order struct {
	Verb string        // shadow, cutover, rollback or finish
	To   []int         // of a cutover
	Hold time.Duration // the default is 2s: a busy machine, and the race detector
	Rate int           // of a pass, in keys a second; the default is no bound
}

// An outcome is what it came to.
type outcome struct {
	Phase   string
	Error   string
	Aborted bool
	Gate    string // which refused
	Moves   []coordinator.MoveReport
}

// options are those of every coordinator here. A machine that is busy with other
// tests is slow, and that is no fault of what is tried.
func options(hold time.Duration) coordinator.Options {
	if hold == 0 {
		hold = 2 * time.Second
	}
	return coordinator.Options{Hold: hold, Limits: coordinator.Limits{
		P99: time.Minute, HitRate: -1, MirrorFails: 1 << 30, ReadsDiffer: 1 << 30, Lag: time.Minute}}
}

// beCoordinator carries out one order, and tells what it came to.
func beCoordinator() int {
	ctx, stop := context.WithCancel(context.Background())
	go func() { // ends with the process
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	var o order
	err := json.Unmarshal([]byte(os.Getenv(orderVar)), &o)
	if err != nil {
		fmt.Println("order:", err)
		return 1
	}
	out := obey(ctx, o)
	text, _ := json.Marshal(out)
	fmt.Println("ended", string(text))
	return 0
}

func obey(ctx context.Context, o order) (out outcome) {
	opts := options(o.Hold)
	opts.Rate = o.Rate
	opts.Progress = func(p coordinator.Progress) {
		if p.Equal {
			fmt.Println("equal")
		}
		fmt.Println(p.Stage+":", p.Text)
	}
	var err error
	if opts.Source, opts.Target, err = sidesFromEnv(); err != nil {
		return outcome{Error: err.Error()}
	}
	c, err := coordinator.Open(opts)
	if err != nil {
		return outcome{Error: err.Error()}
	}
	defer c.Close()
	switch o.Verb {
	case "shadow":
		err = c.Shadow(ctx)
	case "cutover":
		var res coordinator.CutoverResult
		res, err = c.Cutover(ctx, coordinator.CutoverRequest{To: o.To})
		out.Phase, out.Moves = res.Phase.String(), res.Moves
	case "rollback":
		var res coordinator.RollbackResult
		res, err = c.Rollback(ctx, coordinator.RollbackRequest{})
		out.Phase, out.Moves = res.Phase.String(), res.Moves
	default:
		err = fmt.Errorf("unknown verb %q", o.Verb)
	}
	if err != nil {
		out.Error, out.Aborted = err.Error(), errors.Is(err, coordinator.ErrAborted)
	}
	if r, ok := errors.AsType[*coordinator.Refusal](err); ok {
		out.Gate = r.Gate
	}
	return out
}

// A leader is a coordinator's process.
type leader struct{ *process }

func startLeader(t *testing.T, o order, envs ...map[string]string) *leader {
	t.Helper()
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	return &leader{start(t, "coordinator", strings.Join([]string{"migrate", o.Verb}, " "), append(envs, map[string]string{orderVar: string(text)})...)}
}

// outcome waits for the end of what was ordered.
func (l *leader) outcome() (out outcome) {
	l.t.Helper()
	if err := json.Unmarshal([]byte(l.await("ended")), &out); err != nil {
		l.t.Fatal(err)
	}
	l.t.Logf("%s: %+v", l.who, out)
	return out
}
