package queue

import (
	"fmt"
	"log/slog"
)

// asynqLog hands what asynq logs to a slog.Logger. Its texts name jobs by id.
type asynqLog struct{ log *slog.Logger }

func (l asynqLog) Debug(...any)      {}
func (l asynqLog) Info(...any)       {}
func (l asynqLog) Warn(args ...any)  { l.tell(args) }
func (l asynqLog) Error(args ...any) { l.tell(args) }
func (l asynqLog) Fatal(args ...any) { l.tell(args) } // asynq's server never calls it
func (l asynqLog) tell(args []any) {
	l.log.Warn("asynq: "+fmt.Sprint(args...), "workload", workload, "op", "asynq")
}
