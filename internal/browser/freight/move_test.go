package freight_test

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/transload/transload/examples/freight/load"
	"github.com/transload/transload/internal/browser/chromium"
	"github.com/transload/transload/internal/redistest"
)

// patience are the options of a machine that others use too.
var patience = []string{"--max-mirror-errors", "1000000", "--max-p99", "1m", "--max-lag", "1m", "--hold", "2s", "--max-read-differences", "1000"}

// An operator gives commands, with the settings of the app.
type operator struct {
	t   *testing.T
	bin string
	env []string
}

func (o operator) command(args ...string) *exec.Cmd {
	cmd := exec.Command(o.bin, args...)
	cmd.Env = append(os.Environ(), o.env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// shadow begins a migration, which goes on until the test ends.
func (o operator) shadow() {
	cmd := o.command("shadow")
	if err := cmd.Start(); err != nil {
		o.t.Fatal(err)
	}
	o.t.Cleanup(func() { _ = cmd.Process.Signal(syscall.SIGTERM); _ = cmd.Wait() })
}

// cutover moves so many percent, once the gates are open.
func (o operator) cutover(percent int) {
	o.t.Helper()
	redistest.Eventually(o.t, chromium.Within, func() error {
		out, err := o.command(append([]string{"cutover", "--to", fmt.Sprint(percent), "--execute"}, patience...)...).CombinedOutput()
		if err != nil {
			err = fmt.Errorf("%w: %s", err, out)
		}
		return err
	})
}

// TestBrowserMove looks at the status page while an operator moves the app, and while
// a side dies half way.
func TestBrowserMove(t *testing.T) {
	durable := redistest.Options{Args: []string{"--appendonly", "yes", "--appendfsync", "always"}}
	source, target := redistest.Standalone(t, durable), redistest.Standalone(t, durable)
	env := redistest.Merge(source.Env("REDIS"), target.Env("REDIS_TARGET"))
	i := serve(t, env)
	others, err := load.Start(t.Context(), load.Options{URLs: []string{i.users}, Each: 20, Pace: 2 * time.Second, Fix: time.Second}, load.NewJournal())
	if err != nil {
		t.Fatal(err)
	}
	defer others.Stop()
	o := operator{t: t, bin: build(t, "./cmd/migrate")}
	for name, value := range env {
		o.env = append(o.env, name+"="+value)
	}
	b := chromium.Open(t)
	b.Do("status", chromedp.Navigate(i.engineers), chromedp.WaitVisible("#workloads tbody tr"))
	every := func(phase, side, percent, state string) string {
		return fmt.Sprintf(`document.getElementById("phase").textContent === %q && document.querySelectorAll("#workloads tbody tr").length === 5 &&
			[...document.querySelectorAll("#workloads tbody tr")].every((r) => r.cells[1].textContent === %q && r.cells[2].textContent === %q && r.cells[3].textContent.startsWith(%q))`,
			phase, side, percent, state)
	}
	b.Sees("a migration that has not begun", every("off", "source", "0 %", "well"))
	o.shadow()
	b.Sees("shadow", every("shadow", "source", "0 %", "well"))
	o.cutover(50)
	b.Sees("half of everything moved", every("cutover", "both", "50 %", "well"))
	b.Sees("queues", `document.querySelectorAll("#queues tbody tr").length > 0`)
	b.Shot("status")
	if err := target.Kill(); err != nil {
		t.Fatal(err)
	}
	took := b.Sees("that all are degraded", every("cutover", "both", "50 %", "degraded"))
	t.Logf("half way, the status page told of the dead target after %v", took.Round(time.Millisecond))
	if took > 2*time.Second {
		t.Errorf("the status page told after %v; want 2s", took)
	}
	b.Shot("status-half")
	if err := target.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.Sees("that all is well again", every("cutover", "both", "50 %", "well"))
	o.cutover(100)
	b.Sees("all moved", every("soak", "target", "100 %", "well"))
}
