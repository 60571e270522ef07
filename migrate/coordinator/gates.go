package coordinator

import "time"

// Limits are the thresholds of the gates. Zero fields mean the default.
type Limits struct {
	Window time.Duration // over which errors and differences must be 0; the default is 1m
}

func (l Limits) withDefaults() Limits {
	if l.Window == 0 {
		l.Window = time.Minute
	}
	return l
}
