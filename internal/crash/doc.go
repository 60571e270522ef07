// Package crash holds no code but tests: the crash table. Each row is something
// that dies, stops or is cut off at one step of a migration, played on real
// processes: redis-server, members of an app under load, a coordinator. Each
// verdict stands in its test's name.
package crash
