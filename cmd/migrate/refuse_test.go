package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/transload/transload/internal/redistest"
)

// TestRefusals asks for what may not be: an error with its next step, the
// documented code, and nothing changed on either side.
func TestRefusals(t *testing.T) {
	for name, tt := range map[string]struct {
		prepare func(*testing.T, pair) pair
		args    []string
		code    int
		text    string
	}{
		"same Redis twice": {
			prepare: func(_ *testing.T, p pair) pair {
				p.env["REDIS_TARGET_URL"], p.env["REDIS_TARGET_PASSWORD"] = p.env["REDIS_URL"], p.env["REDIS_PASSWORD"]
				return p
			},
			args: []string{"shadow", "--no-members"}, code: codeRefused, text: "same server",
		},
		"same Redis by another name": {
			prepare: func(_ *testing.T, p pair) pair {
				p.env["REDIS_TARGET_URL"] = strings.Replace(p.env["REDIS_URL"], "127.0.0.1", "localhost", 1)
				p.env["REDIS_TARGET_PASSWORD"] = p.env["REDIS_PASSWORD"]
				return p
			},
			args: []string{"shadow", "--no-members"}, code: codeRefused, text: "same server",
		},
		"foreign data on the target": {
			prepare: func(t *testing.T, p pair) pair {
				p.client(t, p.target).Set(t.Context(), "theirs", "1", 0)
				return p
			},
			args: []string{"shadow", "--no-members"}, code: codeRefused, text: "theirs",
		},
		"no member": {args: []string{"shadow"}, code: codeRefused, text: "no member"},
		"cutover before shadow": {
			args: []string{"cutover", "--to", "10", "--execute", "--no-members"}, code: codeRefused, text: "phase",
		},
		"cutover before shadow, dry":  {args: []string{"cutover", "--to", "10", "--no-members"}, code: codeRefused, text: "phase"},
		"rollback of nothing":         {args: []string{"rollback", "--execute", "--no-members"}, code: codeRefused, text: "phase"},
		"finish of nothing":           {args: []string{"finish", "--yes", "--no-members"}, code: codeRefused, text: "phase"},
		"verify of nothing":           {args: []string{"verify", "--no-members"}, code: codeRefused, text: "phase"},
		"finish with another name":    {args: []string{"finish", "--no-members"}, code: codeRefused, text: "confirmation"},
		"forget with another name":    {args: []string{"forget"}, code: codeRefused, text: "confirmation"},
		"standalone told as cluster":  {prepare: told("REDIS_TARGET", "_CLUSTER_NODES"), args: []string{"check", "--no-members"}, code: codeRefused, text: "mode"},
		"standalone told as sentinel": {prepare: told("REDIS_TARGET", "_SENTINELS"), args: []string{"check", "--no-members"}, code: codeRefused, text: "mode"},
		"shadow to another mode":      {prepare: told("REDIS_TARGET", "_CLUSTER_NODES"), args: []string{"shadow", "--no-members"}, code: codeRefused, text: "mode"},
		"source unreachable":          {prepare: gone("REDIS"), args: []string{"shadow", "--no-members"}, code: codeBroke, text: "refused"},
		"target unreachable":          {prepare: gone("REDIS_TARGET"), args: []string{"shadow", "--no-members"}, code: codeBroke, text: "refused"},
		"target unreachable, check":   {prepare: gone("REDIS_TARGET"), args: []string{"check", "--no-members"}, code: codeRefused, text: "target"},
		"nothing reachable, status":   {prepare: gone("REDIS", "REDIS_TARGET"), args: []string{"status"}, code: codeBroke, text: "neither side answers"},
		"wrong password": {
			prepare: func(_ *testing.T, p pair) pair { p.env["REDIS_PASSWORD"] = "hunter2"; return p },
			args:    []string{"shadow", "--no-members"}, code: codeBroke, text: "WRONGPASS",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := embeddedPair(t)
			real := p // as the servers are
			p.client(t, real.source).Set(t.Context(), "sess:{1}", "mine", 0)
			if tt.prepare != nil {
				p = tt.prepare(t, p)
			}
			before := [2]string{real.keys(t, real.source), real.keys(t, real.target)}
			r := p.run(t, tt.args...)
			r.wantCode(t, tt.code)
			r.wantError(t, tt.text)
			for _, secret := range []string{string(real.source.Password), string(real.target.Password), "hunter2"} {
				if strings.Contains(r.out+r.err, secret) {
					t.Errorf("a password is shown:\n%s%s", r.out, r.err)
				}
			}
			if after := [2]string{real.keys(t, real.source), real.keys(t, real.target)}; after != before {
				t.Errorf("got keys\n%s\nwant as before\n%s", after, before)
			}
		})
	}
}

// told has a standalone server told as something else.
func told(prefix, variable string) func(*testing.T, pair) pair {
	return func(_ *testing.T, p pair) pair {
		p.env[prefix+variable] = strings.TrimPrefix(p.env[prefix+"_URL"], "redis://")
		delete(p.env, prefix+"_URL")
		return p
	}
}

// gone has servers told that do not run.
func gone(prefixes ...string) func(*testing.T, pair) pair {
	return func(_ *testing.T, p pair) pair {
		for _, prefix := range prefixes {
			p.env[prefix+"_URL"] = "redis://127.0.0.1:1"
		}
		return p
	}
}

// TestSecondCoordinator starts shadow while it runs already, and asks for what the
// one that runs refuses.
func TestSecondCoordinator(t *testing.T) {
	t.Parallel()
	p := embeddedPair(t)
	p.client(t, p.source).Set(t.Context(), "sess:{1}", "mine", 0)
	stop := p.shadow(t, "--no-members")

	r := p.run(t, "shadow", "--no-members")
	r.wantCode(t, codeRefused)
	r.wantError(t, "another one runs")

	asJSON := p.run(t, "cutover", "--to", "10", "--only", "unheard-of", "--execute", "--json", "--no-members")
	asJSON.wantCode(t, codeRefused)
	var o outcome
	if err := json.Unmarshal([]byte(asJSON.err), &o); err != nil || o.Gate != "workload" || o.Next == "" {
		t.Errorf("got %q, %v; want a refusal by the gate workload", asJSON.err, err)
	}
	for _, args := range [][]string{
		{"cutover", "--to", "10", "--only", "unheard-of", "--no-members"}, // dry
		{"finish", "--yes", "--no-members"},
	} {
		r := p.run(t, args...)
		r.wantCode(t, codeRefused)
		r.wantError(t, "refused: ")
	}
	if st, err := p.status(t); err != nil || st.Phase.String() != "shadow" || st.Percent["sessions"] != 0 {
		t.Errorf("got %+v, %v; want shadow, and nothing moved", st, err)
	}
	bye := stop()
	bye.wantCode(t, codeDone)
	if !strings.Contains(bye.out, "goodbye") || bye.err != "" {
		t.Errorf("got stdout %q, stderr %q; want a goodbye", bye.out, bye.err)
	}
	redistest.Eventually(t, 10*time.Second, func() error { // and it left no lock behind
		st, err := p.status(t)
		if err == nil && st.Coordinator != nil {
			t.Errorf("got the lock of %+v; want none", st.Coordinator)
		}
		return err
	})
}
