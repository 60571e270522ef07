package coordinator

import (
	"testing"
	"time"
)

func TestShortly(t *testing.T) {
	for d, want := range map[time.Duration]string{168 * time.Hour: "168h", 90 * time.Minute: "1h30m", 10 * time.Minute: "10m", 10 * time.Second: "10s", 0: "0s"} {
		if got := shortly(d); got != want {
			t.Errorf("%d: got %s; want %s", d, got, want)
		}
	}
}
