// Package redistest gives tests real redis-server processes, which end with the
// test, and the few things that such tests share: waiting on a state, a plain
// client, a raw connection. What runs the processes is package redisproc.
//
//	func TestMain(m *testing.M) { os.Exit(redistest.Main(m)) }
//
//	func TestX(t *testing.T) {
//		s := redistest.Standalone(t, redistest.Options{})
//		cfg, err := topology.FromEnv("REDIS", redistest.Getenv(s.Env("REDIS")))
//
// A standalone server takes some 30 ms, so each test takes its own. Sets are
// dearer: where a test does not hurt the set, SharedSentinel and SharedCluster
// give one set to the whole package, and tests keep apart by key prefixes.
//
// Without a redis-server such a test fails and says what to install; it is left
// out only by go test -short.
package redistest
