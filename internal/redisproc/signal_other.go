//go:build !unix

package redisproc

import (
	"errors"
	"os"
	"syscall"
)

func sysProcAttr() *syscall.SysProcAttr { return nil }

func killGroup(pid int) error {
	p, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	return p.Kill()
}

func freezeGroup(int) error   { return errors.ErrUnsupported }
func thawGroup(int) error     { return errors.ErrUnsupported }
func lockFile(*os.File) error { return errors.ErrUnsupported }
