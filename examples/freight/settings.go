package main

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/transload/transload/ratelimit"
)

// settings are what the environment says, besides Redis: see package link.
type settings struct {
	addr     string // FREIGHT_ADDR, for users. The default is 127.0.0.1:8080
	admin    string // FREIGHT_ADMIN, for engineers. The default is 127.0.0.1:8081
	database string // DATABASE_URL. The default is a file that ends with the process
	keys     [][]byte
	demo     int // FREIGHT_DEMO: so many shippers and drivers in an empty database. The default is 40
	proxies  ratelimit.Proxies
	level    slog.Level
	remove   func() error // the file
}

// read reads them, and reports every fault at once.
func read(getenv func(string) string) (s settings, err error) {
	bad := func(name string, e error) {
		if e != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", name, e))
		}
	}
	s.remove = func() error { return nil }
	s.addr, s.admin = or(getenv("FREIGHT_ADDR"), "127.0.0.1:8080"), or(getenv("FREIGHT_ADMIN"), "127.0.0.1:8081")
	if port := getenv("PORT"); port != "" && getenv("FREIGHT_ADDR") == "" { // as platforms tell it
		s.addr = ":" + port
	}
	var e error
	s.demo, e = strconv.Atoi(or(getenv("FREIGHT_DEMO"), "40"))
	if e != nil || s.demo < 0 || s.demo > 2000 {
		bad("FREIGHT_DEMO", errors.New("want a number up to 2000"))
	}
	bad("FREIGHT_LOG", s.level.UnmarshalText([]byte(or(getenv("FREIGHT_LOG"), "warn"))))
	s.keys, e = keys(getenv)
	bad("SESSION_KEYS", e)
	s.proxies, e = ratelimit.ParseProxies(strings.Fields(strings.ReplaceAll(getenv("FREIGHT_PROXIES"), ",", " "))...)
	bad("FREIGHT_PROXIES", e)
	if s.database = getenv("DATABASE_URL"); s.database == "" && err == nil {
		bad("DATABASE_URL", s.temporary())
	}
	return s, err
}

// errKey tells how to make one.
var errKey = errors.New("want keys of 32 bytes or more in base64, with commas between: openssl rand -base64 32 makes one")

// keys are those that sign sessions: SESSION_KEYS, or what is in SESSION_KEYS_FILE. The
// default is one that ends with the process.
func keys(getenv func(string) string) (list [][]byte, err error) {
	text := getenv("SESSION_KEYS")
	if path := getenv("SESSION_KEYS_FILE"); text == "" && path != "" {
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		text = string(b)
	}
	if text == "" {
		key := make([]byte, 32)
		_, _ = rand.Read(key) // never fails
		return [][]byte{key}, nil
	}
	for part := range strings.SplitSeq(strings.TrimSpace(text), ",") {
		key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(part))
		if err != nil || len(key) < 32 {
			return nil, errKey // not err: it would quote the key
		}
		list = append(list, key)
	}
	return list, nil
}

// temporary makes a place for a database that ends with the process.
func (s *settings) temporary() error {
	dir, err := os.MkdirTemp("", "freight-")
	if err != nil {
		return err
	}
	s.database = "sqlite:" + filepath.Join(dir, "freight.db")
	s.remove = func() error { return os.RemoveAll(dir) }
	return nil
}

func or(s, fallback string) string {
	if s == "" {
		return fallback
	}
	return s
}
