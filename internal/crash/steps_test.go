package crash

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/transload/transload/internal/control"
	"github.com/transload/transload/internal/protocol"
)

// A step of a move shows in what a coordinator sends.
type step string

// The steps. A record's are named as protocol names its stages.
const (
	prepare step = "prepare"
	hold    step = "hold"
	prove   step = "prove" // the marker that the taker's replicas must have
	offer   step = "offer"
	commit  step = "commit"
	grant   step = "grant"
	abort   step = "abort"
)

// A carried function waits until a server has carried out a step.
type carried = func(context.Context, *wires) error

// recognise tells which step of a move a command is, if any.
func (w *wires) recognise(cmd []string) (step, carried) {
	switch name := strings.ToLower(cmd[0]); {
	case name == "evalsha" && len(cmd) > 7 && strings.HasSuffix(cmd[3], ":control"):
		return change(cmd[6], cmd[7])
	case name == "set" && w.held && strings.HasPrefix(cmd[1], control.Reserved) && strings.HasSuffix(cmd[1], ":marker"):
		return prove, func(ctx context.Context, w *wires) error {
			return poll(ctx, func() bool {
				for _, side := range protocol.Sides {
					if v, err := w.past[side].Get(ctx, cmd[1]).Result(); err == nil && v == cmd[2] {
						return true
					}
				}
				return false
			})
		}
	}
	return "", nil
}

// change tells which step leads from one record to another.
func change(was, is string) (step, carried) {
	old, err := protocol.Decode(was)
	if err != nil {
		return "", nil
	}
	next, err := protocol.Decode(is)
	if err != nil || next.Empty() {
		return "", nil
	}
	carried := func(ctx context.Context, w *wires) error {
		return poll(ctx, func() bool { return record(ctx, w.past[next.Side]).Epoch >= next.Epoch })
	}
	switch {
	case next.Move != nil:
		return step(next.Move.Stage), carried
	case old.Move != nil && (old.Move.Stage == protocol.Prepared || old.Move.Stage == protocol.Held):
		return abort, carried
	}
	return "", nil
}

// poll waits for a state that lies a command away.
func poll(ctx context.Context, f func() bool) error {
	for deadline := time.Now().Add(10 * time.Second); !f(); time.Sleep(time.Millisecond) {
		if ctx.Err() != nil || time.Now().After(deadline) {
			return fmt.Errorf("not within %v", 10*time.Second)
		}
	}
	return nil
}

// parse takes the first whole command off what was sent.
func parse(buf []byte) (cmd []string, rest []byte, ok bool) {
	n, rest, ok := count(buf, '*')
	if !ok {
		return nil, buf, false
	}
	for range n {
		size, body, ok := count(rest, '$')
		if !ok || len(body) < size+2 {
			return nil, buf, false
		}
		cmd = append(cmd, string(body[:size]))
		rest = body[size+2:]
	}
	return cmd, rest, len(cmd) > 0
}

// count reads one line of the protocol: a sign and a number.
func count(buf []byte, sign byte) (n int, rest []byte, ok bool) {
	end := bytes.Index(buf, []byte("\r\n"))
	if end < 1 || buf[0] != sign {
		return 0, nil, false
	}
	n, err := strconv.Atoi(string(buf[1:end]))
	return n, buf[end+2:], err == nil
}
