package figures

import (
	"bufio"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/transload/transload/internal/redisproc"
	"github.com/transload/transload/internal/redistest"
)

// spent is the processor time that this process and some servers have used.
func spent(b *testing.B, servers []*redisproc.Server) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	sum := time.Duration(u.Utime.Nano() + u.Stime.Nano())
	for _, s := range servers {
		lines := bufio.NewScanner(strings.NewReader(fmt.Sprint(redistest.Do(b, s, "INFO", "cpu"))))
		for lines.Scan() {
			name, value, _ := strings.Cut(strings.TrimSpace(lines.Text()), ":")
			if name != "used_cpu_sys" && name != "used_cpu_user" {
				continue
			}
			var seconds float64
			if _, err := fmt.Sscan(value, &seconds); err != nil {
				b.Fatal(err)
			}
			sum += time.Duration(seconds * 1e9)
		}
	}
	return sum
}
