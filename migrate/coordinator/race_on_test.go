//go:build race

package coordinator

// raceOn says that tests run under the race detector, which makes the Lua of
// miniredis thirty times as slow.
const raceOn = true
