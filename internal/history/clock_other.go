//go:build !unix

package history

import "time"

// Now is the time in nanoseconds. Here it is the wall clock's, which must not be
// set while a history is recorded.
func Now() int64 { return time.Now().UnixNano() }
