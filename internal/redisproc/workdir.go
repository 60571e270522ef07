package redisproc

import (
	"fmt"
	"os"
	"path/filepath"
	"time"
)

const dirPattern = "redisproc-*"

// A workdir is the directory of one server or set. While its owner lives it
// holds a lock on a file in it, so that a later process can tell a directory
// that is in use from one that a killed process left behind.
type workdir struct {
	path string
	lock *os.File
}

func newWorkdir() (*workdir, error) {
	base := os.TempDir()
	if len(base) > 50 { // a Unix socket's path may have some 100 bytes
		base = "/tmp"
	}
	sweep(base)
	path, err := os.MkdirTemp(base, dirPattern)
	if err != nil {
		return nil, fmt.Errorf("redisproc: make a directory: %w", err)
	}
	lock, err := os.Create(filepath.Join(path, "lock"))
	if err != nil {
		return nil, fmt.Errorf("redisproc: make a directory: %w", err)
	}
	_ = lockFile(lock) // without a lock the directory is swept by nobody but us
	return &workdir{path, lock}, nil
}

func (w *workdir) remove() error {
	err := os.RemoveAll(w.path)
	_ = w.lock.Close()
	return err
}

// sweep removes the directories of owners that are gone. A young one is let
// alone: its owner may not have locked it yet.
func sweep(base string) {
	found, _ := filepath.Glob(filepath.Join(base, dirPattern))
	for _, path := range found {
		st, err := os.Stat(path)
		if err != nil || time.Since(st.ModTime()) < time.Minute {
			continue
		}
		f, err := os.Open(filepath.Join(path, "lock"))
		if err != nil {
			continue
		}
		if lockFile(f) == nil {
			_ = os.RemoveAll(path)
		}
		_ = f.Close()
	}
}
