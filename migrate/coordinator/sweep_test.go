package coordinator

import (
	"slices"
	"testing"
	"time"

	"github.com/transload/transload/internal/protocol"
)

// TestSweep asks a desk which fields nobody will take off, as time goes by.
func TestSweep(t *testing.T) {
	began := time.Now()
	over, runs := newJob("cutover", "somebody"), newJob("rollback", "somebody")
	over.ended(began)
	fields := map[string]string{"live": "", "ask:over": "", "answer:over": "", "cancel:over": "", "ask:runs": "", "answer:runs": "", "ask:stray": ""}
	d := newDesk(nil)
	d.known["over"], d.known["runs"] = over, runs
	for name, tt := range map[string]struct {
		after time.Duration
		want  []string
	}{
		"fresh": {answerKept, nil},
		"old":   {answerKept + time.Second, []string{"answer:over", "ask:over", "ask:stray", "cancel:over"}},
	} {
		t.Run(name, func(t *testing.T) {
			clear(d.strays)
			d.stale(protocol.Source, fields, began)
			if got := slices.Sorted(slices.Values(d.stale(protocol.Source, fields, began.Add(tt.after)))); !slices.Equal(got, tt.want) {
				t.Errorf("got %q; want %q", got, tt.want)
			}
		})
	}
	d.stale(protocol.Target, nil, began)
	if len(d.strays) != 1 {
		t.Errorf("another side was looked at: got %v remembered; want one field", d.strays)
	}
	d.stale(protocol.Source, nil, began)
	if len(d.strays) != 0 {
		t.Errorf("all are off: got %v remembered; want none", d.strays)
	}
}

// TestForgetsRequests asks for how long an id is known: a side may bring a request back.
func TestForgetsRequests(t *testing.T) {
	began := time.Now()
	j := newJob("cutover", "somebody")
	j.side, j.ans.Done, j.ans.Result = protocol.Source, true, []byte("{}")
	d := newDesk(nil)
	d.known["x"] = j
	there, off := map[string]string{"ask:x": ""}, map[string]string{}
	look := func(fields map[string]string, after time.Duration, known bool) {
		t.Helper()
		d.forget(protocol.Source, fields, began.Add(after))
		if got := d.known["x"] != nil; got != known {
			t.Fatalf("after %v: known is %v; want %v", after, got, known)
		}
	}
	look(off, 2*knownFor, true) // it runs
	j.ended(began)
	d.forget(protocol.Target, off, began.Add(2*knownFor))
	look(there, 2*knownFor, true)
	if j.ans.Result == nil {
		t.Error("its answer is gone before its asker has it")
	}
	look(off, 2*knownFor, true)
	if j.ans.Result != nil {
		t.Error("its answer is kept though its asker has it")
	}
	look(there, 3*knownFor, true) // brought back
	look(off, 3*knownFor, true)
	look(off, 4*knownFor, true)
	look(off, 4*knownFor+time.Second, false)
}
