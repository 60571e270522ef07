// Package pgtest gives tests a PostgreSQL of their own, where the machine has one.
package pgtest

import (
	"bytes"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
)

// LeftOut is what a test says where there is none.
const LeftOut = "LEFT OUT: no PostgreSQL on this machine; install the Debian package postgresql"

// Available reports whether there is one.
func Available() bool { return find() != "" }

// owner is the database's superuser.
const owner = "freight"

// Start starts a server that ends with the test, and returns the DATABASE_URL of an
// empty database. Without one on the machine the test is left out, and says so.
func Start(tb testing.TB) string {
	tb.Helper()
	bin := find()
	if bin == "" {
		tb.Skip(LeftOut)
	}
	dir, err := os.MkdirTemp("", "freight-pg-")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = os.RemoveAll(dir) })
	as := credential(tb, dir)
	data := filepath.Join(dir, "data")
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", data, "-U", owner, "-A", "trust", "-E", "UTF8", "--no-sync")
	initdb.Dir, initdb.SysProcAttr = dir, as
	if out, err := initdb.CombinedOutput(); err != nil {
		tb.Fatalf("initdb: %v\n%s", err, out)
	}
	// Only a socket in its own directory: nobody else meets it, and no port is taken.
	server := exec.Command(filepath.Join(bin, "postgres"), "-D", data, "-k", dir, "-c", "listen_addresses=", "-c", "fsync=off")
	var log bytes.Buffer
	server.Dir, server.SysProcAttr, server.Stderr = dir, as, &log
	if err := server.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = server.Process.Signal(syscall.SIGQUIT) // at once
		_ = server.Wait()
	})
	dsn := "postgres:///postgres?" + url.Values{"host": {dir}, "user": {owner}}.Encode()
	if err := answers(dsn); err != nil {
		_ = server.Process.Kill()
		_ = server.Wait()
		tb.Fatalf("postgres: %v\n%s", err, log.Bytes())
	}
	return dsn
}

// find returns the directory of its programs: Debian has one a version.
func find() string {
	dirs, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	if path, err := exec.LookPath("initdb"); err == nil {
		dirs = append(dirs, filepath.Dir(path))
	}
	for _, dir := range dirs {
		if _, err := os.Stat(filepath.Join(dir, "initdb")); err == nil {
			return dir
		}
	}
	return ""
}

// credential is another user's where the test is root's: PostgreSQL refuses to run as
// root. The server is killed if the test dies.
func credential(tb testing.TB, dir string) *syscall.SysProcAttr {
	as := &syscall.SysProcAttr{Pdeathsig: syscall.SIGQUIT}
	if os.Getuid() != 0 {
		return as
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		if u, err = user.Lookup("nobody"); err != nil {
			tb.Fatal(err)
		}
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	as.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	if err := os.Chown(dir, uid, gid); err != nil {
		tb.Fatal(err)
	}
	return as
}

// startWithin bounds the start on a busy machine.
const startWithin = time.Minute

func answers(dsn string) (err error) {
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	for until := time.Now().Add(startWithin); ; time.Sleep(50 * time.Millisecond) {
		if err = db.Ping(); err == nil || time.Now().After(until) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("no answer within %v: %w", startWithin, err)
	}
	return nil
}
