package protocol

import "encoding/json"

// An Ack says that a member has done what a stage of a move asks of it.
type Ack struct {
	Move  string `json:"move"`
	Stage Stage  `json:"stage"`
}

// An Entry is one member's line on the roll of a side. It is written by the
// member itself, in the step in which its lease is refreshed.
type Entry struct {
	ID     string          `json:"id"`
	Beat   uint64          `json:"beat"`            // grows with each refresh: how others see that it lives
	Epoch  uint64          `json:"epoch"`           // of the record it obeys on this side
	Ack    Ack             `json:"ack"`             // the last thing acknowledged, of moves away from this side
	Ready  bool            `json:"ready"`           // holds a valid lease on both sides
	RunIDs [2]string       `json:"run_ids"`         // the control masters its leases are from: source, target
	Plan   string          `json:"plan"`            // digest of its workloads and prefixes
	Note   string          `json:"note,omitempty"`  // what it waits for, in words
	About  json.RawMessage `json:"about,omitempty"` // version, counters and the like: nothing that the protocol reads
}
