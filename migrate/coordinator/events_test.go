package coordinator

import (
	"fmt"
	"testing"
	"time"

	"github.com/transload/transload/internal/control"
	"github.com/transload/transload/internal/protocol"
)

func TestMergeEvents(t *testing.T) {
	at := func(s float64) time.Time { return time.UnixMilli(int64(1000 * s)).UTC() }
	ev := func(s float64, what string) control.Event { return control.Event{At: at(s), Who: "w", What: what} }
	for name, tt := range map[string]struct {
		source, target []control.Event
		want           string
	}{
		"nothing":       {nil, nil, ""},
		"by time":       {[]control.Event{ev(1, "a"), ev(3, "c")}, []control.Event{ev(2, "b"), ev(4, "d")}, "a/source b/target c/source d/target "},
		"noted twice":   {[]control.Event{ev(1, "a"), ev(2, "b")}, []control.Event{ev(2.5, "a")}, "a/both b/source "},
		"earlier there": {[]control.Event{ev(1.5, "a"), ev(1, "b")}, []control.Event{ev(0.5, "a")}, "a/both b/source "},
		"too far apart": {[]control.Event{ev(1, "a")}, []control.Event{ev(9, "a")}, "a/source a/target "},
		"once is once":  {[]control.Event{ev(1, "a")}, []control.Event{ev(1, "a"), ev(2, "a")}, "a/both a/target "},
		"twice on each": {[]control.Event{ev(1, "a"), ev(2, "a")}, []control.Event{ev(1, "a"), ev(2, "a")}, "a/both a/both "},
		"figures tell": {[]control.Event{{At: at(1), Who: "w", What: "a", Figures: map[string]string{"x": "1"}}},
			[]control.Event{{At: at(1), Who: "w", What: "a", Figures: map[string]string{"x": "2"}}}, "a/source a/target "},
	} {
		t.Run(name, func(t *testing.T) {
			got := ""
			for _, e := range mergeEvents(tt.source, tt.target) {
				got += fmt.Sprintf("%s/%s ", e.What, e.Side)
			}
			if got != tt.want {
				t.Errorf("got %q; want %q", got, tt.want)
			}
		})
	}
}

func TestEvents(t *testing.T) {
	_, b, s := twoServers(t, nil, nil)
	c := coordinate(t, s)
	note := func(side protocol.Side, what string) {
		if err := c.sides[side].store.Note(t.Context(), control.Event{Who: "me", What: what, Why: "asked"}); err != nil {
			t.Fatal(err)
		}
	}
	note(protocol.Source, "one")
	note(protocol.Target, "one")
	note(protocol.Target, "two")
	got, err := c.Events(t.Context(), 0)
	if err != nil || len(got) != 2 || got[0].Side != "both" || got[1].What != "two" || got[1].At.IsZero() {
		t.Errorf("got %+v, %v; want one on both sides and two on the target", got, err)
	}
	if got, err := c.Events(t.Context(), 1); err != nil || len(got) != 1 || got[0].What != "two" {
		t.Errorf("got %+v, %v; want the newest alone", got, err)
	}
	if err := b.Kill(); err != nil {
		t.Fatal(err)
	}
	if got, err := c.Events(t.Context(), 9); err == nil || len(got) != 1 || got[0].What != "one" {
		t.Errorf("with the target gone: got %+v, %v; want the source's and an error", got, err)
	}
}
