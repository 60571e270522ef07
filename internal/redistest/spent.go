package redistest

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/transload/transload/internal/redisproc"
)

// Spent returns the processor time that this process and some servers have used: on a
// machine that others use too it tells more of a thing's cost than a clock does.
func Spent(tb testing.TB, servers ...*redisproc.Server) time.Duration {
	tb.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	sum := time.Duration(u.Utime.Nano() + u.Stime.Nano())
	for _, s := range servers {
		for line := range strings.Lines(fmt.Sprint(Do(tb, s, "INFO", "cpu"))) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
			if name != "used_cpu_sys" && name != "used_cpu_user" {
				continue
			}
			var seconds float64
			if _, err := fmt.Sscan(value, &seconds); err != nil {
				tb.Fatal(err)
			}
			sum += time.Duration(seconds * 1e9)
		}
	}
	return sum
}
