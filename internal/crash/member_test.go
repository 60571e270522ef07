package crash

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/transload/transload/internal/load"
	"github.com/transload/transload/migrate"
)

// What a member is told by its environment.
const (
	memberVar  = "TEST_CRASH_MEMBER"  // its name
	rateVar    = "TEST_CRASH_RATE"    // operations a second; 0 for a member that is idle
	journalVar = "TEST_CRASH_JOURNAL" // path
)

// beMember makes this process a member under load until its standard input ends.
func beMember() int {
	ctx, stop := context.WithCancel(context.Background())
	go func() { // ends with the process
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	if err := runMember(ctx); err != nil {
		fmt.Println("member:", err)
		return 1
	}
	return 0
}

func runMember(ctx context.Context) error {
	source, target, err := sidesFromEnv()
	if err != nil {
		return err
	}
	c, err := migrate.Open(context.WithoutCancel(ctx), migrate.Options{Source: source, Target: target})
	if err != nil {
		return err
	}
	defer c.Close()
	wait, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	if err := c.Ready(wait); err != nil {
		return err
	}
	fmt.Println("ready")
	j, err := load.Create(os.Getenv(journalVar), os.Getenv(memberVar))
	if err != nil {
		return err
	}
	go tell(ctx, j) // ends with the process
	rate, err := strconv.Atoi(os.Getenv(rateVar))
	if err != nil {
		return err
	}
	if rate > 0 {
		load.Run(ctx, c, j, load.Options{Member: os.Getenv(memberVar), Workers: 3, Rate: rate})
	}
	<-ctx.Done()
	return j.Close()
}

// tell says how many writes were acknowledged.
func tell(ctx context.Context, j *load.Journal) {
	for ctx.Err() == nil {
		fmt.Println("acked", j.Count())
		time.Sleep(100 * time.Millisecond)
	}
}

// A member is a process of the app.
type member struct {
	*process
	journal string // path
}

// busy is how many operations a second a member does. The rows stand side by side.
func busy() int {
	if isLong() {
		return 30
	}
	return 6
}

// startMember starts one and returns when it is ready.
func startMember(t *testing.T, name string, rate int, envs ...map[string]string) *member {
	t.Helper()
	path := filepath.Join(t.TempDir(), name+".journal")
	own := map[string]string{memberVar: name, rateVar: strconv.Itoa(rate), journalVar: path}
	p := start(t, "member", name, append(envs, own)...)
	p.await("ready")
	return &member{p, path}
}

// acked returns how many writes the member's app was told are done.
func (m *member) acked() int {
	text, _ := m.last("acked")
	n, _ := strconv.Atoi(text)
	return n
}

// shown returns how many errors the member's app has seen so far.
func (m *member) shown() (n int64) {
	m.t.Helper()
	for _, times := range m.read().Errors {
		n += times
	}
	return n
}

// read returns the journal of a member, as far as it has come.
func (m *member) read() *load.Journal {
	m.t.Helper()
	j, err := load.Open(m.journal)
	if err != nil {
		m.t.Fatal(err)
	}
	return j
}
