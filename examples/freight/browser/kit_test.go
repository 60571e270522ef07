// Package browser goes through the freight app in a browser, as a user and an engineer
// would. `make browser` runs it; it needs a Chromium and a redis-server.
package browser

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/transload/transload/internal/redistest"
)

// within is how long anything may take on a busy machine.
const within = time.Minute

func TestMain(m *testing.M) {
	if os.Getenv("BROWSER") == "" {
		fmt.Println("left out: make browser runs it, or BROWSER=1")
		return
	}
	os.Exit(m.Run())
}

// An instance is the app as a process.
type instance struct{ users, engineers string }

// build makes a program of the module around this one.
func build(t *testing.T, path string) (bin string) {
	t.Helper()
	bin = filepath.Join(t.TempDir(), filepath.Base(path))
	cmd := exec.Command("go", "build", "-o", bin, path)
	cmd.Dir = "../../.."
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return bin
}

// serve builds the app and runs it until the test ends.
func serve(t *testing.T, env map[string]string) instance {
	t.Helper()
	users, engineers := free(t), free(t)
	cmd := exec.Command(build(t, "./examples/freight"))
	cmd.Env = append(os.Environ(), "FREIGHT_ADDR="+users, "FREIGHT_ADMIN="+engineers)
	for name, value := range env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	var log strings.Builder
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil || t.Failed() {
			t.Errorf("the app ended with %v:\n%s", err, log.String())
		}
	})
	i := instance{"http://localhost" + users[strings.LastIndex(users, ":"):], "http://localhost" + engineers[strings.LastIndex(engineers, ":"):]}
	redistest.Eventually(t, within, func() error {
		resp, err := http.Get(i.users + "/readyz")
		if err == nil {
			resp.Body.Close()
		}
		return err
	})
	return i
}

func free(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// A tab is a page in a browser of its own.
type tab struct {
	t   *testing.T
	ctx context.Context
}

func chromium(t *testing.T) tab {
	t.Helper()
	path := os.Getenv("CHROMIUM")
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path == "" {
			path, _ = exec.LookPath(name)
		}
	}
	if path == "" {
		t.Fatal("no Chromium: apt-get install chromium (Debian), or CHROMIUM=/path/to/it")
	}
	opts := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]), chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.WSURLReadTimeout(2*time.Minute))
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), opts...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	b := tab{t, ctx}
	b.do("start", chromedp.EmulateViewport(1280, 900))
	return b
}

// do carries out steps.
func (b tab) do(what string, steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	done := make(chan error, 1)
	go func() { done <- chromedp.Do(b.ctx, steps...) }()
	select {
	case err := <-done:
		if err != nil {
			b.t.Fatalf("%s: %v", what, err)
		}
	case <-time.After(within):
		b.shot("failed")
		b.t.Fatalf("%s: not within %v; the page shows\n%s", what, within, ask[string](b, `document.body.innerText`))
	}
}

// ask evaluates JavaScript in a page.
func ask[T any](b tab, js string) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](js))
	if err != nil {
		b.t.Fatalf("%s: %v", js, err)
	}
	return v
}

// sees waits until a page says yes, and returns how long that took.
func (b tab) sees(what, js string) time.Duration {
	b.t.Helper()
	began := time.Now()
	for !ask[bool](b, js) {
		if time.Since(began) > within {
			b.shot("failed")
			b.t.Fatalf("%s: not within %v; the page shows\n%s", what, within, ask[string](b, `document.body.innerText`))
		}
		time.Sleep(20 * time.Millisecond)
	}
	return time.Since(began)
}

// shot takes a picture into $SCREENSHOTS, if that is set.
func (b tab) shot(name string) {
	dir := os.Getenv("SCREENSHOTS")
	if dir == "" {
		return
	}
	png, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644)
	}
	if err != nil {
		b.t.Errorf("screenshot %s: %v", name, err)
	}
}
