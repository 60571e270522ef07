package main

import (
	"bytes"
	"context"
	"flag"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/transload/transload/internal/redistest"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestMain is also the program itself: the demonstration starts its members with
// the path of the program that runs.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == memberVerb {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		code := run(ctx, process{args: os.Args, getenv: os.Getenv, in: os.Stdin, out: os.Stdout, errOut: os.Stderr})
		stop()
		os.Exit(code)
	}
	os.Exit(redistest.Main(m, goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial")))
}

// A result is what a command printed, and its exit code.
type result struct {
	code     int
	out, err string
}

// command runs one command with an environment of its own.
func command(t testing.TB, env map[string]string, args ...string) result {
	t.Helper()
	return commandWith(t.Context(), env, "", args...)
}

func commandWith(ctx context.Context, env map[string]string, in string, args ...string) result {
	var out, errOut bytes.Buffer
	code := run(ctx, process{
		args: append([]string{"migrate"}, args...), getenv: redistest.Getenv(env),
		in: strings.NewReader(in), out: &out, errOut: &errOut,
	})
	return result{code, out.String(), errOut.String()}
}

// wantCode fails the test if a command ended otherwise than documented.
func (r result) wantCode(t *testing.T, code int) {
	t.Helper()
	if r.code != code {
		t.Fatalf("got code %d; want %d\nstdout:\n%s\nstderr:\n%s", r.code, code, r.out, r.err)
	}
}

// wantError fails the test if the errors do not hold a text, or no next step.
func (r result) wantError(t *testing.T, text string) {
	t.Helper()
	if !strings.Contains(r.err, text) {
		t.Errorf("got errors:\n%s\nwant them to hold %q", r.err, text)
	}
	if !strings.Contains(r.err, "\nnext: ") {
		t.Errorf("got errors without a next step:\n%s", r.err)
	}
}

// golden compares what was printed with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (go test ./cmd/migrate -update writes it)", err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", path, got, want)
	}
}

// long leaves a test to `make real`.
func long(t *testing.T) {
	t.Helper()
	if os.Getenv("LONG") == "" {
		t.Skip("a long one: make real runs it")
	}
}
