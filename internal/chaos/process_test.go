package chaos

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// A process is this binary once more, in a role.
type process struct {
	who   string
	cmd   *exec.Cmd
	stdin io.WriteCloser
	over  chan struct{} // closed when it has ended
	err   error         // of its end; read it after over

	mu    sync.Mutex
	state string // works or rests, as a member said last
}

// start runs a role with some variables. Each line that it says goes to log.
func start(role, who string, env map[string]string, log func(format string, args ...any)) (*process, error) {
	p := &process{who: who, cmd: exec.Command(os.Args[0]), over: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), roleVar+"="+role, whoVar+"="+who)
	for name, value := range env {
		p.cmd.Env = append(p.cmd.Env, name+"="+value)
	}
	var err error
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.cmd.Stderr = p.cmd.Stdout
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { // ends with the process, which kill ends
		defer close(p.over)
		lines := bufio.NewScanner(out)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			log("%s: %s", who, lines.Text())
			if line := lines.Text(); line == works || line == rests { // libraries say things too
				p.mu.Lock()
				p.state = line
				p.mu.Unlock()
			}
		}
		p.err = p.cmd.Wait()
	}()
	return p, nil
}

// does returns whether a member works or rests.
func (p *process) does() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state
}

// tell sends a word to the process, which may have ended.
func (p *process) tell(word string) { _, _ = fmt.Fprintln(p.stdin, word) }

// kill ends the process as kill -9 does, and waits for that.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.over
}

// stop and wake are kill -STOP and -CONT. The process may have ended.
func (p *process) stop() { _ = p.cmd.Process.Signal(syscall.SIGSTOP) }
func (p *process) wake() { _ = p.cmd.Process.Signal(syscall.SIGCONT) }

// end lets the process end in good order.
func (p *process) end() error {
	_ = p.stdin.Close()
	select {
	case <-p.over:
		return p.err
	case <-time.After(time.Minute):
		p.kill()
		return fmt.Errorf("%s did not end within a minute", p.who)
	}
}
