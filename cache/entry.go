package cache

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strconv"
	"time"
)

// What an entry in Redis holds, by bytes:
//
//	0       the format, 1
//	1       its kind: v a value, n there is no such thing, t a tombstone
//	2       the version of the app's type
//	3       how many tags it has
//	4..11   the fencing token of the fill that wrote it
//	12..15  CRC-32C of all but the stamp
//	16..28  the stamp: when it was written, in ms, on the server's clock, in digits
//	29..    the versions of its tags, 8 bytes each, and the value
//
// The server puts the stamp in, so a script gets what is before it and what is after.
const (
	format   = 1
	headLen  = 16
	stampLen = 13
	maxTags  = 16

	kindValue = 'v'
	kindNone  = 'n'
	kindGone  = 't'
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// An entry is what is kept under an id.
type entry struct {
	kind    byte
	version uint8
	token   string
	stamp   int64 // ms, on the server's clock
	tags    []int64
	value   []byte
}

func newToken() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return string(b[:])
}

// encode returns what is before the stamp and what is after it.
func (e *entry) encode() (head, body []byte) {
	b := make([]byte, 0, 8*len(e.tags)+len(e.value))
	for _, v := range e.tags {
		b = binary.BigEndian.AppendUint64(b, uint64(v))
	}
	b = append(b, e.value...)
	h := append(make([]byte, 0, headLen), format, e.kind, e.version, byte(len(e.tags)))
	h = append(h, e.token...)
	return binary.BigEndian.AppendUint32(h, sum(h, b)), b
}

func sum(head, body []byte) uint32 {
	return crc32.Update(crc32.Checksum(head, castagnoli), castagnoli, body)
}

// raw returns an entry as it is in Redis.
func (e *entry) raw() []byte {
	head, body := e.encode()
	return append(fmt.Appendf(head, "%0*d", stampLen, e.stamp), body...)
}

// parse reads an entry. What is not whole, or of another format or version, is none;
// its token, as far as it has one, is returned all the same, to say that it will not
// do.
func parse(raw []byte, version uint8) (e entry, ok bool) {
	if len(raw) < headLen {
		return entry{token: string(raw[min(4, len(raw)):min(12, len(raw))])}, false // as claim.lua sees it
	}
	e = entry{kind: raw[1], version: raw[2], token: string(raw[4:12])}
	tags, rest := int(raw[3]), headLen+stampLen
	if raw[0] != format || len(raw) < rest+8*tags || tags > maxTags {
		return e, false
	}
	body := raw[rest:]
	if sum(raw[:12], body) != binary.BigEndian.Uint32(raw[12:headLen]) {
		return e, false
	}
	stamp, err := strconv.ParseInt(string(raw[headLen:rest]), 10, 64)
	e.stamp = stamp
	for i := range tags {
		e.tags = append(e.tags, int64(binary.BigEndian.Uint64(body[8*i:])))
	}
	e.value = body[8*tags:]
	return e, err == nil && (e.kind == kindValue || e.kind == kindNone) && e.version == version
}

// early is the share of its soft age, up to a quarter, by which an entry is loaded
// earlier: another for each, and the same in every process.
func (e *entry) early(soft time.Duration) time.Duration {
	return time.Duration(float64(soft) / 4 * float64(crc32.ChecksumIEEE([]byte(e.token))) / (1 << 32))
}
