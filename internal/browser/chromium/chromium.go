// Package chromium has tests drive a headless Chromium. `make browser` runs them.
package chromium

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// Within is how long anything may take on a busy machine.
const Within = time.Minute

// Main runs tests if BROWSER is set, and says so if it is not.
func Main(m *testing.M) int {
	if os.Getenv("BROWSER") == "" {
		fmt.Println("left out: make browser runs it, or BROWSER=1")
		return 0
	}
	return m.Run()
}

// A Tab is a page in a browser of its own.
type Tab struct {
	t   *testing.T
	ctx context.Context
}

// Open starts a browser, which ends with the test.
func Open(t *testing.T) Tab {
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
	b := Tab{t, ctx}
	b.Do("start", chromedp.EmulateViewport(1280, 900))
	return b
}

// Do carries out steps.
func (b Tab) Do(what string, steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	done := make(chan error, 1)
	go func() { done <- chromedp.Do(b.ctx, steps...) }()
	select {
	case err := <-done:
		if err != nil {
			b.t.Fatalf("%s: %v", what, err)
		}
	case <-time.After(Within):
		b.fail(what, nil)
	}
}

// Ask evaluates JavaScript in a page, again if the page was just loaded anew.
func Ask[T any](b Tab, js string) (v T) {
	b.t.Helper()
	b.until(js, func() (ok bool, err error) {
		v, err = chromedp.Run(b.ctx, chromedp.Evaluate[T](js))
		return err == nil, err
	})
	return v
}

// Sees waits until a page says yes, and returns how long that took.
func (b Tab) Sees(what, js string) time.Duration {
	b.t.Helper()
	began := time.Now()
	b.until(what, func() (bool, error) { return chromedp.Run(b.ctx, chromedp.Evaluate[bool](js)) })
	return time.Since(began)
}

func (b Tab) until(what string, ok func() (bool, error)) {
	b.t.Helper()
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		yes, err := ok()
		switch {
		case yes:
			return
		case time.Since(began) > Within:
			b.fail(what, err)
		}
	}
}

// fail ends the test, and says what the page shows.
func (b Tab) fail(what string, err error) {
	b.t.Helper()
	b.Shot("failed")
	text, _ := chromedp.Run(b.ctx, chromedp.Evaluate[string](`document.body.innerText`))
	b.t.Fatalf("%s: not within %v (%v); the page shows\n%s", what, Within, err, text)
}

// Shot takes a picture into $SCREENSHOTS, if that is set.
func (b Tab) Shot(name string) {
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
