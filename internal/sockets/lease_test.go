package sockets_test

import (
	"errors"
	"os"
	"testing"
	"time"

	"github.com/transload/transload/internal/redistest"
)

// TestLeaseUnderAPause: on a server whose writes are paused a script that renews a
// lease waits for the end of the pause, and so does any plain script, while one
// that is declared to write nothing runs at once. So a pause that is longer than a
// lease ends it, which is safe, and the record can be read meanwhile.
func TestLeaseUnderAPause(t *testing.T) {
	t.Parallel()
	const read = "return redis.call('GET', KEYS[1])"
	for name, tt := range map[string]struct {
		command []string
		waits   bool
	}{
		"lease and record in one": {
			command: []string{"EVAL", "redis.call('SET', KEYS[2], 1, 'PX', 15000) " + read, "2", "{c}record", "{c}lease"},
			waits:   true,
		},
		"script that only reads": {command: []string{"EVAL", read, "1", "{c}record"}, waits: true},
		"EVAL_RO":                {command: []string{"EVAL_RO", read, "1", "{c}record"}},
		"flags=no-writes":        {command: []string{"EVAL", "#!lua flags=no-writes\n" + read, "1", "{c}record"}},
		"GET":                    {command: []string{"GET", "{c}record"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := redistest.Standalone(t, redistest.Options{})
			ctl, c := redistest.Conn(t, s), redistest.Conn(t, s)
			do(t, ctl, "SET", "{c}record", "here")
			do(t, ctl, "CLIENT", "PAUSE", "60000", "WRITE")
			if err := c.Send(tt.command...); err != nil {
				t.Fatal(err)
			}
			if tt.waits {
				_ = c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
				if v, err := c.Receive(); !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("got %v, %v; want no answer while the pause lasts", v, err)
				}
				do(t, ctl, "CLIENT", "UNPAUSE")
			}
			_ = c.SetReadDeadline(time.Now().Add(30 * time.Second)) // the pause lasts longer
			if got := receive(t, c); got != "here" {
				t.Errorf("got %v; want the record", got)
			}
		})
	}
}
