package redistest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// heldVar tells the processes that a test starts, which may be this binary again,
// that the lock is its own.
const heldVar = "TRANSLOAD_TESTS_LOCKED"

// alone waits until no other package's tests with real servers are at work on this
// machine: they share the cores with their servers, and two packages at a time
// would slow each other until bounds are passed. So the next package can be built
// meanwhile, which one package at a time (go test -p 1) would not allow. The lock
// ends with the process, however it ends.
func alone() error {
	if os.Getenv(heldVar) != "" {
		return nil
	}
	path := filepath.Join(os.TempDir(), fmt.Sprintf("transload-tests-%d.lock", os.Getuid()))
	fd, err := syscall.Open(path, syscall.O_CREAT|syscall.O_RDWR|syscall.O_CLOEXEC, 0o600) // never closed: that would give it back
	if err != nil {
		return err
	}
	for began, told := time.Now(), false; ; time.Sleep(50 * time.Millisecond) {
		if err = syscall.Flock(fd, syscall.LOCK_EX|syscall.LOCK_NB); !errors.Is(err, syscall.EWOULDBLOCK) {
			return errors.Join(err, os.Setenv(heldVar, "1"))
		}
		if !told && time.Since(began) > time.Minute {
			fmt.Fprintf(os.Stderr, "waiting for another package's tests, which hold %s\n", path)
			told = true
		}
	}
}
