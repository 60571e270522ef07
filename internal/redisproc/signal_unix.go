//go:build unix

package redisproc

import (
	"os"
	"syscall"
)

// The signals go to the whole process group: a server that is saving has a child.

func killGroup(pid int) error   { return syscall.Kill(-pid, syscall.SIGKILL) }
func freezeGroup(pid int) error { return syscall.Kill(-pid, syscall.SIGSTOP) }
func thawGroup(pid int) error   { return syscall.Kill(-pid, syscall.SIGCONT) }

// lockFile takes f's lock without waiting. The kernel drops it when the process
// ends, however it ends.
func lockFile(f *os.File) error {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
}
