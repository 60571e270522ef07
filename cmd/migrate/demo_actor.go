package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/transload/transload/internal/load"
	"github.com/transload/transload/migrate"
)

// endWithin bounds the end of a member: what it has under way may be parked.
const endWithin = 40 * time.Second

// An inner actor runs in this process.
type inner struct {
	j      *load.Journal
	orders chan order
	end    context.CancelFunc
	done   chan error // 1
}

func startInner(ctx context.Context, o migrate.Options, lo load.Options) (*inner, error) {
	run, end := context.WithCancel(ctx)
	a := &inner{j: load.NewJournal(lo.Member), orders: make(chan order), end: end, done: make(chan error, 1)}
	ready := make(chan struct{})
	go func() { a.done <- play(run, o, a.j, lo, a.orders, func() { close(ready) }) }() // stop waits for it
	select {
	case <-ready:
		return a, nil
	case err := <-a.done:
		end()
		return nil, err
	}
}

func (a *inner) count() int64                   { return a.j.Count() }
func (a *inner) rest(ctx context.Context) error { return a.order(ctx, true) }
func (a *inner) work(ctx context.Context) error { return a.order(ctx, false) }

func (a *inner) order(ctx context.Context, rest bool) error {
	o := order{rest, make(chan struct{})}
	select {
	case a.orders <- o:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	<-o.done // what is under way ends within its bound
	return nil
}

func (a *inner) stop() (*load.Journal, error) {
	a.end()
	err := <-a.done
	a.done <- err
	return a.j, err
}

// An outer actor is a process of its own. It ends when its standard input does,
// so that none outlives the demonstration, however that ends.
type outer struct {
	cmd     *exec.Cmd
	stdin   io.WriteCloser
	path    string // of its journal
	acked   atomic.Int64
	ready   chan struct{}
	answers chan string // 1
	done    chan error  // 1
}

func startOuter(ctx context.Context, dir string, env map[string]string, name string, lo load.Options) (*outer, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("demo: find this program: %w", err)
	}
	a := &outer{
		path:  filepath.Join(dir, lo.Member+".json"),
		ready: make(chan struct{}), answers: make(chan string, 1), done: make(chan error, 1),
	}
	a.cmd = exec.Command(self, memberVerb, "--name", name, "--member", lo.Member,
		"--workers", strconv.Itoa(lo.Workers), "--rate", strconv.Itoa(lo.Rate), "--journal", a.path)
	a.cmd.Env = os.Environ()
	for _, k := range sorted(env) {
		a.cmd.Env = append(a.cmd.Env, k+"="+env[k])
	}
	a.cmd.Stderr = os.Stderr
	if a.stdin, err = a.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	stdout, err := a.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	if err := a.cmd.Start(); err != nil {
		return nil, fmt.Errorf("demo: start member: %w", err)
	}
	go func() { // ends with the process; stop waits for it
		a.listen(stdout)
		a.done <- a.cmd.Wait()
	}()
	select {
	case <-a.ready:
		return a, nil
	case err := <-a.done:
		a.done <- err
		return nil, fmt.Errorf("demo: member %s ended at its start: %w", lo.Member, err)
	case <-ctx.Done():
		_, err := a.stop()
		return nil, errors.Join(context.Cause(ctx), err)
	}
}

// listen reads what the member tells of itself.
func (a *outer) listen(r io.Reader) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		word, rest, _ := strings.Cut(lines.Text(), " ")
		n, err := strconv.ParseInt(rest, 10, 64)
		switch {
		case word == "ready":
			close(a.ready)
		case word == "acked" && err == nil:
			a.acked.Store(n)
		case word == wordRest || word == wordWork:
			a.answers <- word
		}
	}
}

func (a *outer) count() int64                   { return a.acked.Load() }
func (a *outer) rest(ctx context.Context) error { return a.order(ctx, wordRest) }
func (a *outer) work(ctx context.Context) error { return a.order(ctx, wordWork) }

func (a *outer) order(ctx context.Context, word string) error {
	if _, err := fmt.Fprintln(a.stdin, word); err != nil {
		return fmt.Errorf("demo: member: %w", err)
	}
	select {
	case <-a.answers:
		return nil
	case err := <-a.done:
		a.done <- err
		return fmt.Errorf("demo: a member has ended: %w", err)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (a *outer) stop() (*load.Journal, error) {
	a.stdin.Close()
	kill := time.AfterFunc(endWithin, func() { _ = a.cmd.Process.Kill() })
	defer kill.Stop()
	err := <-a.done
	a.done <- err
	if err != nil {
		return nil, fmt.Errorf("demo: member: %w", err)
	}
	return load.Open(a.path)
}
