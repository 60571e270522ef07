package protocol

import (
	"fmt"
	"strings"
	"testing"
)

// proof runs a prover; each answer is made from the output that it belongs to.
func proof(t *testing.T, tracked bool, answer func(o ProofOutput, round int) ProofInput) (*Proved, []string) {
	t.Helper()
	p := NewProver(tracked)
	var did []string
	out := p.Start()
	for range 100 {
		if len(out) == 0 {
			t.Fatalf("nothing to do after %v", did)
		}
		o := out[0]
		out = out[1:]
		if o.Kind == ProveEnd {
			if len(out) != 0 || p.Handle(ProofInput{Kind: ProveMark}) != nil {
				t.Errorf("goes on after its end")
			}
			return o.Proved, did
		}
		did = append(did, fmt.Sprint([]string{"", "mark", "pass", "replicas", "compare", "repair", "masters"}[o.Kind], o.Names))
		in := answer(o, p.Rounds())
		in.Kind = o.Kind
		out = append(out, p.Handle(in)...)
	}
	t.Fatalf("no end after %v", did)
	return nil, nil
}

func TestProver(t *testing.T) {
	for name, tt := range map[string]struct {
		untracked bool
		answer    func(o ProofOutput, round int) ProofInput
		did       string
		fault     string
	}{
		"nothing to compare": {
			answer: func(ProofOutput, int) ProofInput { return ProofInput{} },
			did:    "mark[] replicas[] masters[]",
		},
		"names that are equal": {
			answer: func(o ProofOutput, _ int) ProofInput {
				if o.Kind == ProveMark {
					return ProofInput{Names: []string{"b", "a", "b"}}
				}
				return ProofInput{}
			},
			did: "mark[] replicas[] compare[a b] masters[]",
		},
		"a repair is compared after another watermark": {
			answer: func(o ProofOutput, round int) ProofInput {
				switch {
				case o.Kind == ProveMark && round == 1:
					return ProofInput{Names: []string{"a", "b"}}
				case o.Kind == ProveMark:
					return ProofInput{Names: []string{"c"}}
				case o.Kind == ProveCompare && round == 1:
					return ProofInput{Names: []string{"b"}}
				}
				return ProofInput{}
			},
			did: "mark[] replicas[] compare[a b] repair[b] mark[] replicas[] compare[b c] masters[]",
		},
		"a foreign writer": {
			answer: func(o ProofOutput, _ int) ProofInput {
				if o.Kind == ProveMark || o.Kind == ProveCompare {
					return ProofInput{Names: []string{"a"}}
				}
				return ProofInput{}
			},
			fault: `"a" differs again`,
		},
		"a pass that finds nothing": {
			untracked: true,
			answer:    func(ProofOutput, int) ProofInput { return ProofInput{} },
			did:       "pass[] replicas[] masters[]",
		},
		"a pass that repairs is run again": {
			untracked: true,
			answer: func(o ProofOutput, round int) ProofInput {
				if o.Kind == ProvePass && round < 3 {
					return ProofInput{Differ: 2}
				}
				return ProofInput{}
			},
			did: "pass[] replicas[] pass[] replicas[] pass[] replicas[] masters[]",
		},
		"passes that never end": {
			untracked: true,
			answer: func(o ProofOutput, _ int) ProofInput {
				if o.Kind == ProvePass {
					return ProofInput{Differ: 2}
				}
				return ProofInput{}
			},
			fault: "2 keys differ again",
		},
	} {
		t.Run(name, func(t *testing.T) {
			proved, did := proof(t, !tt.untracked, tt.answer)
			if proved.OK != (tt.fault == "") || !strings.Contains(proved.Reason, tt.fault) {
				t.Errorf("got %+v; want fault %q", *proved, tt.fault)
			}
			if got := strings.Join(did, " "); tt.did != "" && got != tt.did {
				t.Errorf("did %s; want %s", got, tt.did)
			}
		})
	}
}

// TestProverFaults has each of the steps fail.
func TestProverFaults(t *testing.T) {
	for _, kind := range []ProofKind{ProveMark, ProveReplicas, ProveCompare, ProveRepair, ProveMasters, ProvePass} {
		proved, _ := proof(t, kind != ProvePass, func(o ProofOutput, round int) ProofInput {
			in := ProofInput{}
			if (o.Kind == ProveMark || o.Kind == ProveCompare) && round == 1 {
				in.Names = []string{"a"}
			}
			if o.Kind == kind {
				in.Fault = "no answer"
			}
			return in
		})
		if proved.OK || proved.Reason != "no answer" {
			t.Errorf("step %d: got %+v; want its fault", kind, *proved)
		}
	}
}

// TestProverIgnoresWhatItDidNotAskFor so that a late answer proves nothing.
func TestProverIgnoresWhatItDidNotAskFor(t *testing.T) {
	p := NewProver(true)
	p.Start()
	for _, kind := range []ProofKind{ProvePass, ProveCompare, ProveRepair, ProveMasters, ProveEnd} {
		if out := p.Handle(ProofInput{Kind: kind, Fault: "late"}); out != nil {
			t.Errorf("answer %d while marking: got %v; want it ignored", kind, out)
		}
	}
}
