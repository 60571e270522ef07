// Package freight_test goes through the freight app in a browser, as a user and an engineer
// would. `make browser` runs it; it needs a Chromium and a redis-server.
package freight_test

import (
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/transload/transload/internal/browser/chromium"
	"github.com/transload/transload/internal/redistest"
)

func TestMain(m *testing.M) {
	os.Exit(chromium.Main(m))
}

// An instance is the app as a process.
type instance struct{ users, engineers string }

// build makes a program of the module around this one.
func build(t *testing.T, path string) (bin string) {
	t.Helper()
	bin = filepath.Join(t.TempDir(), filepath.Base(path))
	cmd := exec.Command("go", "build", "-o", bin, path)
	cmd.Dir = "../../.."
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return bin
}

// serve builds the app and runs it until the test ends.
func serve(t *testing.T, env map[string]string) instance {
	t.Helper()
	users, engineers := free(t), free(t)
	cmd := exec.Command(build(t, "./examples/freight"))
	cmd.Env = append(os.Environ(), "FREIGHT_ADDR="+users, "FREIGHT_ADMIN="+engineers)
	for name, value := range env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	var log strings.Builder
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil || t.Failed() {
			t.Errorf("the app ended with %v:\n%s", err, log.String())
		}
	})
	i := instance{"http://localhost" + users[strings.LastIndex(users, ":"):], "http://localhost" + engineers[strings.LastIndex(engineers, ":"):]}
	redistest.Eventually(t, chromium.Within, func() error {
		resp, err := http.Get(i.users + "/readyz")
		if err == nil {
			resp.Body.Close()
		}
		return err
	})
	return i
}

func free(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
