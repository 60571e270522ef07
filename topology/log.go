package topology

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/redis/go-redis/v9"
)

// libraryLog receives the lines of go-redis, which has one logger for the whole
// process and no levels.
type libraryLog struct {
	to   atomic.Pointer[slog.Logger]
	once sync.Once
}

var library libraryLog

// Printf implements go-redis's logger.
func (l *libraryLog) Printf(ctx context.Context, format string, v ...any) {
	if to := l.to.Load(); to != nil && to.Enabled(ctx, slog.LevelDebug) {
		to.LogAttrs(ctx, slog.LevelDebug, "go-redis says", slog.String("line", fmt.Sprintf(format, v...)))
	}
}

// take replaces go-redis's logger once a process, and leads it to the logger
// given last, if any.
func (l *libraryLog) take(to *slog.Logger) {
	if to != nil {
		l.to.Store(to)
	}
	l.once.Do(func() { redis.SetLogger(l) })
}
