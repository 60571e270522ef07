package redisproc

import "syscall"

// sysProcAttr puts a server into a process group of its own, so that its forks
// can be killed with it, and has the kernel kill it when its parent dies. (The
// kernel means the parent's thread; Go ends a thread only when a goroutine that
// is locked to it returns, which nothing here does.)
func sysProcAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
