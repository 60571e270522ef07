package coordinator

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/internal/redistest"
)

// TestDamagedRecord follows docs/moving.md: while a member runs, the damaged key
// is deleted and the member puts the record back; when none runs, it is made
// from the other side's. Nobody uses the side in between.
func TestDamagedRecord(t *testing.T) {
	t.Parallel() // it mostly waits
	a, b, s := twoServers(t, nil, nil)
	app := startApp(t, s, 1, 0)
	c := coordinate(t, s)
	stop := shadowing(t, c)
	waitShadow(t, c)
	if _, err := coordinate(t, s).Cutover(t.Context(), CutoverRequest{To: []int{50}}); err != nil {
		t.Fatal(err)
	}
	stop()
	const key = "transload:{default}:control"
	record := func() string { return fmt.Sprint(redistest.Do(t, a, "GET", key)) }
	before := record()
	damage := func() {
		t.Helper()
		redistest.Do(t, a, "SET", key, "no record")
		r := checked(t, coordinate(t, s))
		r.wants(t, "control record", "source", Refused, "damaged", "not JSON")
		if l := r.line("control record", "source"); !strings.Contains(l.Next, "DEL "+key+" on the source") {
			t.Errorf("got next %q; want the way out", l.Next)
		}
	}
	damage()
	redistest.Do(t, a, "DEL", key)
	eventually(t, func() bool { return record() == before })
	eventually(t, func() bool { return app.clients[0].Set(within(t, time.Second), "k", "v", 0).Err() == nil })

	app.end()
	damage()
	other := fmt.Sprint(redistest.Do(t, b, "GET", key))
	redistest.Do(t, a, "SET", key, move.ReplaceAllString(strings.Replace(other, `"side":"target"`, `"side":"source"`, 1), ""))
	app = startApp(t, s, 1, 0)
	if err := app.clients[0].Set(within(t, 10*time.Second), "k", "w", 0).Err(); err != nil {
		t.Fatal(err)
	}
	c = coordinate(t, s)
	shadowing(t, c)
	waitShadow(t, c)
	st, err := c.Status(t.Context())
	if err != nil || st.Phase != protocol.Cutover {
		t.Errorf("got phase %v, %v; want cutover", st.Phase, err)
	}
	if _, err := coordinate(t, s).Cutover(t.Context(), CutoverRequest{To: []int{100}}); err != nil {
		t.Errorf("a cutover after that: %v", err)
	}
}

// move is what a hand takes out of the other side's record.
var move = regexp.MustCompile(`"move":\{[^{}]*\{[^{}]*\}[^{}]*\},`)

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}
