package crash

import (
	"sync"
	"testing"
)

// turns bounds how many rows are at work at a time: two cores carry some dozen
// rows that wait for a lease or a lock to run out, but not that many beginnings.
var turns = make(chan struct{}, 4)

// turn waits until few other rows are at work. A row that has come to where it
// mostly waits calls rest; it may be called twice, and the end of the test does.
func turn(t *testing.T) (rest func()) {
	turns <- struct{}{}
	rest = sync.OnceFunc(func() { <-turns })
	t.Cleanup(rest)
	return rest
}
