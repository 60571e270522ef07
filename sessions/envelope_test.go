package sessions

import (
	"errors"
	"net/http"
	"testing"
	"time"
)

func TestEnvelope(t *testing.T) {
	m, s := mini(t, withKeys)
	fresh, forger := another(t, m, s), another(t, m, s)
	forger.keys = [][]byte{key()}
	b, other := newBrowser(t), newBrowser(t)
	session := b.login(m, "alice", cart{})
	other.login(m, "mallory", cart{})
	rec, _ := m.memory.recall(session.id)
	now := time.Now()
	s.Close()

	a := b.visit(fresh)
	if a.state != Degraded || a.session.User != "alice" || a.session.Data != nil || !a.session.Expires.Equal(session.Expires) {
		t.Errorf("got %v, %+v; want who it is and until when", a.state, a.session)
	}
	if err := a.session.Decode(&cart{}); !errors.Is(err, ErrUnavailable) {
		t.Errorf("values: got %v; want ErrUnavailable", err)
	}
	flipped := []byte(b.Cookies["__Host-sid.e"].Value)
	flipped[40] ^= 1
	over := *rec
	over.ends = now.UnixMilli() - 1
	for name, value := range map[string]string{
		"another's":           other.Cookies["__Host-sid.e"].Value,
		"changed":             string(flipped),
		"by another key":      forger.envelope(session.id, rec, now),
		"stale":               m.envelope(session.id, rec, now.Add(-m.opt.Outage)),
		"of the future":       m.envelope(session.id, rec, now.Add(2*skew)),
		"of an ended session": m.envelope(session.id, &over, now),
		"no base64":           "!",
		"short":               "AAAA",
	} {
		t.Run(name, func(t *testing.T) {
			c := b.clone()
			c.t = t
			c.Cookies["__Host-sid.e"] = &http.Cookie{Name: "__Host-sid.e", Value: value}
			if a := c.visit(fresh); a.status != http.StatusServiceUnavailable {
				t.Errorf("got %d, %v of %+v; want 503", a.status, a.state, a.session)
			}
		})
	}
	// Without the id it is worth nothing.
	delete(b.Cookies, "__Host-sid")
	b.is(fresh, Anonymous, "")
}

// TestKeysChange as docs/sessions.md says: each process reads the envelopes of all
// others at every step of a deployment.
func TestKeysChange(t *testing.T) {
	m, s := mini(t, withKeys)
	was, next := m.opt.Keys[0], key()
	with := func(keys ...[]byte) (one, another *Manager) {
		o := m.opt
		o.Keys = keys
		return managerOn(t, miniClient(t, s), o), managerOn(t, miniClient(t, s), o)
	}
	steps := [][][]byte{{was}, {was, next}, {next, was}}
	var signed []*browser
	var readers []*Manager
	for _, keys := range steps {
		signer, reader := with(keys...)
		b := newBrowser(t)
		b.login(signer, "alice", cart{})
		b.is(signer, Live, "alice") // leaves the envelope as it is: it is fresh
		signed, readers = append(signed, b), append(readers, reader)
	}
	_, last := with(next)
	s.Close()
	for i := range steps {
		for j := max(0, i-1); j <= min(i+1, len(steps)-1); j++ {
			signed[i].is(readers[j], Degraded, "alice")
		}
	}
	signed[2].is(last, Degraded, "alice")
	if a := signed[1].visit(last); a.status != http.StatusServiceUnavailable {
		t.Errorf("an envelope of the old key, which is gone: got %d, %v; want 503", a.status, a.state)
	}
}

func TestEnvelopeIsRenewed(t *testing.T) {
	m, _ := mini(t, withKeys)
	b := newBrowser(t)
	id := b.login(m, "alice", cart{}).id
	if a := b.visit(m); a.header["Set-Cookie"] != nil {
		t.Errorf("a fresh one: got %v; want it left alone", a.header)
	}
	rec, _ := m.memory.recall(id)
	was := m.envelope(id, rec, time.Now().Add(-m.opt.Outage/3))
	b.Cookies["__Host-sid.e"].Value = was
	b.is(m, Live, "alice")
	if now := b.Cookies["__Host-sid.e"].Value; now == was || len(now) != len(was) {
		t.Errorf("got %q; want a new one", now)
	}
}
