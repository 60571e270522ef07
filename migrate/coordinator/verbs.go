package coordinator

import (
	"context"
	"encoding/json"
	"fmt"
)

// verbs are what other processes may ask of a coordinator that runs.
var verbs map[string]func(ctx context.Context, t *term, args json.RawMessage) (any, error)

func init() {
	verbs = map[string]func(ctx context.Context, t *term, args json.RawMessage) (any, error){
		"cutover":  verb((*term).cutover),
		"rollback": verb((*term).rollback),
		"finish":   verb((*term).finish),
		giveUpVerb: verb((*term).giveUp),

		previewCutover:  verb((*term).previewCutover),
		previewRollback: verb((*term).previewRollback),
	}
}

const (
	previewCutover  = "preview cutover"
	previewRollback = "preview rollback"
)

// previews are the verbs that only look.
var previews = map[string]bool{previewCutover: true, previewRollback: true}

// verb makes a method of a term one that can be asked for from afar.
func verb[A, R any](f func(*term, context.Context, A) (R, error)) func(context.Context, *term, json.RawMessage) (any, error) {
	return func(ctx context.Context, t *term, text json.RawMessage) (any, error) {
		var args A
		if err := json.Unmarshal(text, &args); err != nil {
			return nil, fmt.Errorf("coordinator: request: %w", err)
		}
		return f(t, ctx, args)
	}
}
