package sessions

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"net/http"
	"time"
)

// An envelope is the signed word of a process that Redis has just confirmed a
// session: who, since when, until when at most, and when that was. It stands in a
// second cookie, and is looked at while Redis is away alone. The signature covers
// the hash of the id too, so that it goes with that one id: without the cookie of
// the id it is worth nothing.

// domain keeps the signature apart from whatever else the key may be used for, and
// names the form.
const domain = "transload/sessions/envelope/1\x00"

// skew is how far the clocks of two processes of the app may be apart.
const skew = time.Minute

const (
	fixed = 24 // three times: issued, created, ends
	seal  = sha256.Size
)

// envelope makes one for a record that was confirmed at a time.
func (m *Manager) envelope(id hash, r *record, at time.Time) string {
	b := make([]byte, 0, fixed+len(r.user)+seal)
	b = binary.BigEndian.AppendUint64(b, uint64(at.UnixMilli()))
	b = binary.BigEndian.AppendUint64(b, uint64(r.created))
	b = binary.BigEndian.AppendUint64(b, uint64(r.ends))
	b = append(b, r.user...)
	return base64.RawURLEncoding.EncodeToString(append(b, m.sign(m.keys[0], id, b)...))
}

func (m *Manager) sign(key []byte, id hash, body []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(domain))
	mac.Write([]byte(m.opt.Name))
	mac.Write(id[:])
	mac.Write(body)
	return mac.Sum(nil)
}

// unseal reads the envelope of a request for an id, and says when it was issued.
// One that is forged, or another id's, is none.
func (m *Manager) unseal(r *http.Request, id hash) (*record, time.Time) {
	c, err := r.Cookie(m.envelopeName())
	if err != nil || len(m.keys) == 0 || len(c.Value) > base64.RawURLEncoding.EncodedLen(fixed+userLimit+seal) {
		return nil, time.Time{}
	}
	b, err := strictly.DecodeString(c.Value)
	if err != nil || len(b) < fixed+seal {
		return nil, time.Time{}
	}
	body, sum := b[:len(b)-seal], b[len(b)-seal:]
	for _, key := range m.keys {
		if hmac.Equal(sum, m.sign(key, id, body)) {
			rec := &record{user: string(body[fixed:]), created: int64(binary.BigEndian.Uint64(body[8:])), ends: int64(binary.BigEndian.Uint64(body[16:]))}
			return rec, time.UnixMilli(int64(binary.BigEndian.Uint64(body)))
		}
	}
	return nil, time.Time{}
}

// renew sets an envelope in a response, if the one that the request brought is not
// fresh any more. So an outage finds every user in the last third of a request with
// at least two thirds of Outage left.
func (m *Manager) renew(w http.ResponseWriter, r *http.Request, id hash, rec *record) {
	if len(m.keys) == 0 || m.opt.Outage < 0 || rec.retired {
		return
	}
	now := time.Now()
	if had, issued := m.unseal(r, id); had != nil && now.Sub(issued) < m.opt.Outage/3 {
		return
	}
	m.setCookie(w, m.envelopeName(), m.envelope(id, rec, now), now.Add(m.opt.Outage))
}
