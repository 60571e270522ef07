package coordinator

import (
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/internal/redistest"
)

// TestFrozenMember freezes a member before a move. It is waited out and fenced,
// the keys move without it, and when it thaws it may neither write on the old
// side nor overwrite the new with a copy. Then it works on.
func TestFrozenMember(t *testing.T) {
	t.Parallel()
	s, env := pairEnv(t)
	seed(t, s.source, 50)
	ch := startChild(t, env)
	a := startApp(t, s, 1, 50)
	c := coordinate(t, s)
	stop := shadowing(t, c)
	waitShadow(t, c)
	eventually(t, func() bool { return len(status(t, c).Members) == 2 })
	stop()

	ch.signal(t, syscall.SIGSTOP)
	began := time.Now()
	res, err := c.Cutover(t.Context(), CutoverRequest{To: []int{100}})
	if err != nil || res.Phase != protocol.Soak {
		t.Fatalf("cutover: got %+v, %v; want soak", res, err)
	}
	if took := time.Since(began); took < protocol.SilentFor {
		t.Errorf("moved after %v; want the frozen member to be waited out", took)
	}
	if n := len(status(t, c).Members); n != 1 {
		t.Errorf("got %d members on the roll; want the frozen one to be off it", n)
	}
	ch.signal(t, syscall.SIGCONT)
	eventually(t, func() bool {
		st := status(t, c)
		return len(st.Members) == 2 && st.Members[0].Ready && st.Members[1].Ready
	})
	redistest.Eventually(t, 10*time.Second, moreWrites(a))
	a.journals = append(a.journals, ch.journal(t))
	// Nobody shadows, so nobody repairs: a late write on either side would show. Keys
	// that a script writes without declaring them are left to who shadows.
	rep, err := c.Verify(t.Context(), VerifyRequest{})
	if err != nil && !errors.Is(err, ErrDiffer) {
		t.Fatal(err)
	}
	if delete(rep.Workloads, "pubsub"); len(rep.Workloads) > 0 {
		t.Errorf("got %+v; want no difference", rep)
	}
	a.verdict(t, s.target)
}

// moreWrites reports whether an app has had some hundred writes acknowledged
// since it was first asked.
func moreWrites(a *app) func() error {
	from := a.journals[0].Count()
	return func() error {
		if n := a.journals[0].Count() - from; n < 100 {
			return fmt.Errorf("%d writes so far", n)
		}
		return nil
	}
}

// pairEnv is two standalone servers, and the variables that lead to them.
func pairEnv(t *testing.T) (sides, map[string]string) {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a real server")
	}
	src, dst := redistest.Standalone(t, redistest.Options{}), redistest.Standalone(t, redistest.Options{})
	return sides{config(t, src), config(t, dst)}, redistest.Merge(src.Env("REDIS"), dst.Env("REDIS_TARGET"))
}
