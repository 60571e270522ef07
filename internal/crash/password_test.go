package crash

import (
	"strings"
	"testing"
	"time"

	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/internal/redisproc"
	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/migrate/coordinator"
)

// locked is a server with a password.
var locked = redistest.Options{Password: secret}

// TestWrongPasswordFromTheStartIsRefused gives the target's password wrong to
// everybody. check and shadow name it, nothing begins, and the app uses the source.
func TestWrongPasswordFromTheStartIsRefused(t *testing.T) {
	t.Parallel()
	turn(t)
	m := begin(t, standalone(t, redistest.Options{}), standalone(t, locked))
	m.env["REDIS_TARGET_PASSWORD"] = "another"
	m.seed(protocol.Source, 20)
	m.app(members())
	m.work(10, within)
	r, err := m.operator().Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if line := refused(t, r.Refusal()); line.Gate != "reach of the target" || !strings.Contains(line.Figure, "WRONGPASS") || strings.Contains(line.Error(), "another") {
		t.Errorf("check: got %v; want the password named, and not told", line)
	}
	sideError(t, m.operator().Shadow(t.Context()), "password")
	if st := m.status(m.operator()); st.Phase.Leased() || !blocked("WRONGPASS")(st) {
		t.Errorf("status: got %v, %q; want nothing begun, and the password named", st.Phase, st.Blockers)
	}
	m.work(10, within)
	unhurt(t, m.verdict())
}

// TestPasswordChangedInShadowTheAppSeesNothing changes the target's password, and
// ends the connections that were made with the old one. The migration stands still
// and says why, until the password is what the processes were told.
func TestPasswordChangedInShadowTheAppSeesNothing(t *testing.T) {
	t.Parallel()
	turn(t)
	target := standalone(t, locked)
	m := moving(t, standalone(t, redistest.Options{}), target)
	back := changePassword(t, target.servers[0])
	m.work(20, within)
	st := m.told("the password named", blocked("WRONGPASS"))
	if text := strings.Join(append(st.Blockers, st.WaitsFor, st.Sides.Target.Error), "\n"); strings.Contains(text, secret) {
		t.Errorf("status: got %q; want no secret", text)
	}
	_, err := m.operator().Cutover(t.Context(), coordinator.CutoverRequest{To: []int{100}})
	if err == nil || strings.Contains(err.Error(), secret) {
		t.Errorf("cutover: got %v; want an error, and no secret", err)
	}
	if isLong() {
		m.told("the leases on the target over", blocked("has no lease on both sides"))
	}
	back()
	m.told("everything made good", healed)
	m.cutover(m.operator(), 100)
	m.work(10, within)
	unhurt(t, m.verdict())
}

// TestPasswordChangedInSoakLosesNothing does the same to the side that answers. The
// app is shown what a plain client would be shown; what it was told is there.
func TestPasswordChangedInSoakLosesNothing(t *testing.T) {
	t.Parallel()
	turn(t)
	target := standalone(t, locked)
	m := moving(t, standalone(t, redistest.Options{}), target)
	m.cutover(m.operator(), 100)
	m.work(10, within)
	back := changePassword(t, target.servers[0])
	m.told("the password named", blocked("WRONGPASS"))
	time.Sleep(2 * time.Second) // the app meets it
	back()
	m.work(20, within)
	m.told("everything made good", healed)
	m.rollback(m.operator())
	m.work(10, within)
	v := m.verdict()
	for text := range v.Errors {
		if strings.Contains(text, secret) {
			t.Errorf("the app was shown %q; want no secret", text)
		}
	}
}

// changePassword gives a server another password, and ends every connection. back
// undoes it.
func changePassword(t *testing.T, s *redisproc.Server) (back func()) {
	t.Helper()
	conn := redistest.Conn(t, s)
	do := func(args ...string) {
		if _, err := conn.Do(t.Context(), args...); err != nil {
			t.Fatal(err)
		}
	}
	do("CONFIG", "SET", "requirepass", "battery-staple")
	do("CLIENT", "KILL", "TYPE", "normal") // but for the one that asks
	do("CLIENT", "KILL", "TYPE", "pubsub")
	return func() { do("CONFIG", "SET", "requirepass", secret) }
}
