package crash

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A process is this test binary once more, in a role. It tells of itself in lines:
// a word, and what belongs to it. It ends when its standard input does, so that
// none outlives the test.
type process struct {
	t     *testing.T
	who   string
	cmd   *exec.Cmd
	stdin io.Closer
	over  chan struct{} // closed when it has ended
	err   error         // of its end; read it after over

	mu   sync.Mutex
	said map[string]string // the last line of each word
	news chan struct{}     // closed when there is another
}

// start runs a role. Its clean-up kills what is left of it, even if it is stopped.
func start(t *testing.T, role, who string, envs ...map[string]string) *process {
	t.Helper()
	p := &process{t: t, who: who, cmd: exec.Command(os.Args[0]), over: make(chan struct{}), said: map[string]string{}, news: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), roleVar+"="+role)
	for _, env := range envs {
		for name, value := range env {
			p.cmd.Env = append(p.cmd.Env, name+"="+value)
		}
	}
	p.cmd.Stderr = os.Stderr
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.stdin = stdin
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { // ends with the process; the clean-up waits for it
		defer close(p.over)
		p.listen(stdout)
		p.err = p.cmd.Wait()
	}()
	t.Cleanup(func() {
		p.kill()
		<-p.over
	})
	return p
}

// listen reads what the process says. What is not about a state goes to the test's
// log.
func (p *process) listen(r io.Reader) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		word, rest, _ := strings.Cut(lines.Text(), " ")
		if !slices.Contains(words, word) {
			logLine(p.t, p.who+": "+lines.Text())
			continue
		}
		p.say(word, rest)
	}
}

func (p *process) say(word, rest string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.said[word] = rest
	close(p.news)
	p.news = make(chan struct{})
}

// words are what a process says of its state.
var words = []string{"ready", "acked", "equal", "ended"}

// last returns what followed a word when it was last said, and whether it was.
func (p *process) last(word string) (string, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	text, ok := p.said[word]
	return text, ok
}

// await waits until a word was said, and returns what followed it.
func (p *process) await(word string) string {
	p.t.Helper()
	late := time.After(within)
	for {
		p.mu.Lock()
		news := p.news
		p.mu.Unlock()
		if text, ok := p.last(word); ok {
			return text
		}
		select {
		case <-news:
		case <-p.over:
			if text, ok := p.last(word); ok {
				return text
			}
			p.t.Fatalf("%s has ended (%v) and never said %q", p.who, p.err, word)
		case <-late:
			p.t.Fatalf("%s has not said %q within %v", p.who, word, within)
		}
	}
}

// kill ends the process as kill -9 does. It may have ended before.
func (p *process) kill() { _ = p.cmd.Process.Kill() }

func (p *process) stop() { p.signal(syscall.SIGSTOP) }
func (p *process) wake() { p.signal(syscall.SIGCONT) }

func (p *process) signal(s os.Signal) {
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Errorf("%s: %v: %v", p.who, s, err)
	}
}

// end lets the process end in good order, and waits for it.
func (p *process) end() error {
	_ = p.stdin.Close()
	select {
	case <-p.over:
		return p.err
	case <-time.After(within):
		p.kill()
		<-p.over
		return fmt.Errorf("%s did not end within %v", p.who, within)
	}
}

// logLine writes to the test's log for as long as there is one.
func logLine(t *testing.T, line string) {
	if t.Context().Err() == nil {
		t.Log(line)
	}
}
