//go:build unix && !linux

package redisproc

import "syscall"

// sysProcAttr puts a server into a process group of its own, so that its forks
// can be killed with it.
func sysProcAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
