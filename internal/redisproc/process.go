package redisproc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Kill ends the process as kill -9 does, and returns when it is gone. Restart
// brings it back.
func (s *Server) Kill() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.killLocked()
}

func (s *Server) killLocked() error {
	if s.cmd == nil {
		return nil
	}
	select {
	case <-s.done:
		return nil // its id may be another's by now
	default:
	}
	if err := killGroup(s.cmd.Process.Pid); err != nil {
		return fmt.Errorf("redisproc: kill %d: %w", s.cmd.Process.Pid, err)
	}
	<-s.done
	return nil
}

// Freeze stops the process as kill -STOP does: its connections stay open, the
// kernel goes on taking bytes for it, and nothing is answered until Thaw.
func (s *Server) Freeze() error { return s.signal("freeze", freezeGroup) }

// Thaw lets a frozen process go on.
func (s *Server) Thaw() error { return s.signal("thaw", thawGroup) }

func (s *Server) signal(verb string, send func(pid int) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.done:
		return fmt.Errorf("redisproc: %s %d: %w", verb, s.cmd.Process.Pid, os.ErrProcessDone)
	default:
	}
	if err := send(s.cmd.Process.Pid); err != nil {
		return fmt.Errorf("redisproc: %s %d: %w", verb, s.cmd.Process.Pid, err)
	}
	return nil
}

// Restart kills the process if it still runs and starts it anew: same port, same
// directory, same settings. What it had only in memory is gone.
func (s *Server) Restart(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.killLocked(); err != nil {
		return err
	}
	return s.startLocked(ctx)
}

// Alive reports whether the process runs; a frozen one does.
func (s *Server) Alive() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.done:
		return false
	default:
		return true
	}
}

// Close ends the process and, for a standalone server, removes its directory. It
// may be called twice.
func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.killLocked()
	if s.home != nil {
		err = errors.Join(err, s.home.remove())
		releasePorts([]int{s.port})
	}
	return err
}

func (s *Server) start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.startLocked(ctx)
}

// startLocked starts the process and waits until it answers.
func (s *Server) startLocked(ctx context.Context) error {
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("redisproc: start: %w", err)
	}
	defer log.Close()
	began, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("redisproc: start: %w", err)
	}
	_ = os.Remove(s.Socket()) // a killed server leaves its socket behind
	cmd := exec.Command(s.opts.Binary, s.args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = s.dir, log, log, sysProcAttr()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("redisproc: start: %w", err)
	}
	done := make(chan struct{})
	s.cmd, s.done = cmd, done
	go func() { // ends with the process, which Close ends
		_ = cmd.Wait()
		close(done)
	}()
	err = s.waitReady(ctx)
	if err == nil {
		return nil
	}
	said := s.Log()[began:]
	_ = s.killLocked()
	if strings.Contains(said, "Failed listening on port") {
		return errPortTaken
	}
	return fmt.Errorf("redisproc: start %s: %w; its log ends:\n%s", filepath.Base(s.opts.Binary), err, tail(said, 15))
}

func (s *Server) waitReady(ctx context.Context) error {
	return poll(ctx, time.Millisecond, func() error {
		select {
		case <-s.done:
			return permanent{errors.New("the process ended")}
		default:
		}
		_, err := s.Do(ctx, "PING")
		return err
	})
}
