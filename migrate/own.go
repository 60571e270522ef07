package migrate

import (
	"fmt"
	"slices"
	"strings"

	"github.com/transload/transload/internal/command"
	"github.com/transload/transload/internal/control"
)

// own reports whether a key is a migration's: its record, roll, lock and the like.
func own(key string) bool { return strings.HasPrefix(key, control.Reserved) }

// refuseOwn refuses a call that would write a migration's own keys, of any
// migration and in every phase: who changed a record would change who answers
// for which keys, and in phase done the records are all that keeps a process
// with both settings off the source. To read them does no harm.
func refuseOwn(k *command.Command, args []any, keys []string) error {
	if !slices.ContainsFunc(keys, own) {
		return nil
	}
	written, err := k.AppendWritten(nil, args)
	if err != nil || !slices.ContainsFunc(written, own) {
		return err
	}
	return fmt.Errorf("%w: %s: keys that begin with %s are the migration's own, and the app may not write them", ErrRefused, k.Name, control.Reserved)
}
