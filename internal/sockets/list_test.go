package sockets_test

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/transload/transload/internal/redisproc"
	"github.com/transload/transload/internal/redistest"
)

// TestSilentConnectionIsListed: who has connected and said nothing is in the list
// once the server has accepted it, without a name.
func TestSilentConnectionIsListed(t *testing.T) {
	t.Parallel()
	s := redistest.Standalone(t, redistest.Options{})
	ctl := redistest.Conn(t, s)
	nc, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	redistest.Eventually(t, 10*time.Second, func() error {
		for _, f := range clients(t, ctl) {
			if f["addr"] == nc.LocalAddr().String() {
				if f["name"] != "" || f["cmd"] != "NULL" {
					t.Errorf("got %v; want no name and no command", f)
				}
				return nil
			}
		}
		return fmt.Errorf("%s is not listed", nc.LocalAddr())
	})
}

// TestListMissesTheBacklog: a connection that waits to be accepted is in no list,
// yet its command is executed afterwards. So listing and killing is no fence by
// itself.
func TestListMissesTheBacklog(t *testing.T) {
	t.Parallel()
	const rounds = 10
	s := redistest.Standalone(t, redistest.Options{})
	ctl := redistest.Conn(t, s)
	missed := 0
	for i := range rounds {
		// LIST follows a busy script in one packet; the connection is made meanwhile.
		send(t, ctl, []string{"EVAL", busy, "0", "30"}, []string{"CLIENT", "LIST"})
		nc, err := net.Dial("tcp", s.Addr())
		if err != nil {
			t.Fatal(err)
		}
		c := redisproc.NewConn(nc)
		if err := c.Send("INCR", key(i)); err != nil {
			t.Fatal(err)
		}
		receive(t, ctl)
		text, _ := receive(t, ctl).(string)
		listed := false
		for _, f := range parseList(text) {
			listed = listed || f["addr"] == nc.LocalAddr().String()
		}
		if got := receive(t, c); got != int64(1) {
			t.Errorf("got %v; want 1", got)
		}
		if !listed {
			missed++
		}
		_ = c.Close()
	}
	if missed == 0 {
		t.Errorf("listed in each of %d rounds; want that the backlog is missed at least once", rounds)
	}
}

// TestIDsGrow: a connection that is accepted later has a higher id, whatever was
// closed in between. That makes an id a watermark.
func TestIDsGrow(t *testing.T) {
	t.Parallel()
	ways(t, redistest.Options{}, func(t *testing.T, w way) {
		last := int64(0)
		for i := range 20 {
			c := w.open(t)
			now := id(t, c)
			if now <= last {
				t.Fatalf("got id %d after %d; want it higher", now, last)
			}
			last = now
			if i%2 == 0 {
				_ = c.Close()
			}
		}
	})
}

// fence kills every connection of that name whose id is below the fencer's own,
// and returns how many listings it took until one showed none. It is the fence
// that the coordinator uses, in a test's words.
func fence(ctx context.Context, s *redisproc.Server, name string) (listings int, err error) {
	c, err := s.Dial(ctx)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	v, err := c.Do(ctx, "CLIENT", "ID")
	if err != nil {
		return 0, err
	}
	watermark, _ := v.(int64)
	for {
		v, err := c.Do(ctx, "CLIENT", "LIST")
		if err != nil {
			return listings, err
		}
		listings++
		text, _ := v.(string)
		below := 0
		for id, f := range parseList(text) {
			if f["name"] != name || id >= watermark {
				continue
			}
			below++
			if _, err := c.Do(ctx, "CLIENT", "KILL", "ID", fmt.Sprint(id)); err != nil {
				return listings, err
			}
		}
		if below == 0 {
			return listings, nil
		}
	}
}
