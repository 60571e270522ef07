package coordinator

import (
	"testing"

	"github.com/transload/transload/internal/protocol"
)

// TestAMoveLeftAfterItsCommitCounts: what was done for a move that stands, writers
// that were shut out for one, must not be undone because its coordinator left it.
func TestAMoveLeftAfterItsCommitCounts(t *testing.T) {
	cfg := protocol.MoveConfig{ID: "m", From: protocol.Source, Nonce: func() string { return "n" }}
	before := &driver{m: protocol.NewMover(cfg, protocol.Record{}, protocol.Record{}, "", "")}
	if before.left().Committed {
		t.Error("left before its first record: got committed")
	}
	m, _ := protocol.Resume(cfg, protocol.Record{}, protocol.Record{}, "", "", protocol.Instant{})
	after := &driver{m: m}
	if !after.left().Committed {
		t.Error("left while acknowledgements of the commit were counted: got not committed")
	}
}
