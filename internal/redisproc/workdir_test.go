package redisproc

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// age makes a directory look as if its owner had made it long ago.
func age(t *testing.T, path string) {
	t.Helper()
	long := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path, long, long); err != nil {
		t.Fatal(err)
	}
}

func TestSweepRemovesWhatNobodyHolds(t *testing.T) {
	t.Setenv("TMPDIR", shortDir(t))
	held, err := newWorkdir()
	if err != nil {
		t.Fatal(err)
	}
	defer held.remove()
	left, err := newWorkdir()
	if err != nil {
		t.Fatal(err)
	}
	young, err := newWorkdir()
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range []*workdir{left, young} { // as the kernel does when the owner dies
		if err := w.lock.Close(); err != nil {
			t.Fatal(err)
		}
	}
	age(t, held.path)
	age(t, left.path)
	sweep(os.TempDir())
	for path, want := range map[string]bool{held.path: true, young.path: true, left.path: false} {
		if _, err := os.Stat(path); (err == nil) != want {
			t.Errorf("%s: got %v; want that it exists: %v", filepath.Base(path), err, want)
		}
	}
}

// shortDir is t.TempDir with a name that leaves room for a socket's.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "rp")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func TestPortsAreHandedOutOnce(t *testing.T) {
	a, err := takePorts(20)
	if err != nil {
		t.Fatal(err)
	}
	defer releasePorts(a)
	b, err := takePorts(20)
	if err != nil {
		t.Fatal(err)
	}
	defer releasePorts(b)
	seen := map[int]bool{}
	for _, p := range append(a, b...) {
		if seen[p] {
			t.Errorf("port %d was handed out twice", p)
		}
		seen[p] = true
	}
}
