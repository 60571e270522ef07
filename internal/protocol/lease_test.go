package protocol

import (
	"testing"
	"time"
)

func TestLease(t *testing.T) {
	sent := Instant{Mono: time.Hour, Wall: 1000 * time.Hour}
	for name, tt := range map[string]struct {
		mono, wall time.Duration
		run        string
		want       bool
	}{
		"at once":                        {0, 0, "r", true},
		"just before its end":            {LeaseFor - 1, LeaseFor - 1, "r", true},
		"at its end":                     {LeaseFor, LeaseFor, "r", false},
		"the machine was suspended":      {time.Second, LeaseFor, "r", false},
		"the wall clock stood":           {LeaseFor, time.Second, "r", false},
		"the wall clock was set ahead":   {time.Second, time.Hour, "r", false},
		"the wall clock was set back":    {time.Second, -stepBack, "r", false},
		"the wall clock was slewed back": {time.Second, -stepBack + 1, "r", true},
		"of no server":                   {0, 0, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			l := Lease{Sent: sent, RunID: tt.run}
			now := Instant{sent.Mono + tt.mono, sent.Wall + tt.wall}
			if got := l.Valid(now); got != tt.want {
				t.Errorf("valid: got %v; want %v", got, tt.want)
			}
			if left := l.Left(now); (left > 0) != tt.want || left > LeaseFor {
				t.Errorf("left: got %v; want more than 0: %v", left, tt.want)
			}
		})
	}
	l := Lease{Sent: sent, RunID: "r"}
	if got := l.Left(Instant{sent.Mono + time.Second, sent.Wall + 4*time.Second}); got != LeaseFor-4*time.Second {
		t.Errorf("left: got %v; want what the faster clock leaves", got)
	}
}

func TestPhases(t *testing.T) {
	allowed := map[Phase][]Phase{
		Off: {Shadow}, Shadow: {Cutover, Soak, Off}, Cutover: {Cutover, Soak, Shadow}, Soak: {Done, Cutover, Shadow},
	}
	for p := Unknown; p <= Done; p++ {
		for next := Unknown; next <= Done; next++ {
			want := false
			for _, a := range allowed[p] {
				want = want || a == next
			}
			if err := p.To(next); (err == nil) != want {
				t.Errorf("%v to %v: got %v; want allowed %v", p, next, err, want)
			}
		}
		text, err := p.MarshalText()
		var back Phase
		if err2 := back.UnmarshalText(text); err != nil || err2 != nil || back != p {
			t.Errorf("%v as text: got %v, %v, %v", p, back, err, err2)
		}
		if got, want := p.Leased(), p == Shadow || p == Cutover || p == Soak; got != want {
			t.Errorf("%v: leased: got %v; want %v", p, got, want)
		}
	}
	if got := Phase(99).String() + Side(99).String(); got != "invalidinvalid" {
		t.Errorf("a phase and a side out of range: got %q", got)
	}
}
