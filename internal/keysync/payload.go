package keysync

import (
	"encoding/binary"
	"math"
	"strconv"
	"strings"
)

// Types of values in a DUMP payload: those whose bytes may differ though the
// values do not. Streams and encodings of before 7.0 are left to the server.
const (
	typeString       = 0
	typeSet          = 2
	typeHash         = 4
	typeZset         = 5
	typeIntset       = 11
	typeHashListpack = 16
	typeZsetListpack = 17
	typeQuicklist    = 18
	typeSetListpack  = 20
)

// footer is the version and the checksum at the end of a payload.
const footer = 10

// parsePayload reads the value out of what DUMP returned, so that it need not
// be asked for by type: every small set of strings, and every hash beyond the
// small ones, is dumped in an order that no other server repeats. It reports
// false for what it does not know, or finds the least thing odd about.
func parsePayload(payload string) (*value, bool) {
	if len(payload) <= footer {
		return nil, false
	}
	p := &parser{rest: payload[1 : len(payload)-footer]}
	v := &value{}
	switch payload[0] {
	case typeString:
		v.kind, v.text = "string", p.text()
	case typeSet:
		v.kind, v.list = "set", p.texts(1)
	case typeIntset:
		v.kind, v.list = "set", p.intset()
	case typeSetListpack:
		v.kind, v.list = "set", p.listpack(p.text())
	case typeHash:
		v.kind, v.list = "hash", p.texts(2)
	case typeHashListpack:
		v.kind, v.list = "hash", p.listpack(p.text())
	case typeZset:
		v.kind, v.list = "zset", p.scored()
	case typeZsetListpack:
		v.kind, v.list = "zset", p.listpack(p.text())
	case typeQuicklist:
		v.kind, v.list = "list", p.quicklist()
	default:
		return nil, false
	}
	pairs := v.kind == "hash" || v.kind == "zset"
	return v, !p.failed && p.rest == "" && (!pairs || len(v.list)%2 == 0)
}

// A parser reads the form in which Redis saves values. Once it has failed it
// returns nothing of worth.
type parser struct {
	rest   string
	failed bool
}

// take removes n bytes.
func (p *parser) take(n uint64) string {
	if p.failed || n > uint64(len(p.rest)) {
		p.failed = true
		return ""
	}
	taken := p.rest[:n]
	p.rest = p.rest[n:]
	return taken
}

// number removes n bytes, at most eight, as a little-endian number.
func (p *parser) number(n uint64) (u uint64) {
	for i, b := range []byte(p.take(n)) {
		u |= uint64(b) << (8 * i)
	}
	return u
}

// signed is number for two's complement.
func (p *parser) signed(n uint64) int64 {
	shift := 64 - 8*n
	return int64(p.number(n)<<shift) >> shift
}

// length removes a length, or tells by special that a string of another
// encoding follows.
func (p *parser) length() (n uint64, special bool) {
	first := p.number(1)
	switch first >> 6 {
	case 0:
		return first, false
	case 1:
		return (first&0x3f)<<8 | p.number(1), false
	case 2:
		switch first {
		case 0x80:
			return uint64(binary.BigEndian.Uint32([]byte(p.padded(4)))), false
		case 0x81:
			return binary.BigEndian.Uint64([]byte(p.padded(8))), false
		}
		p.failed = true
	}
	return first & 0x3f, true
}

// padded is take, but never returns less than n bytes.
func (p *parser) padded(n uint64) string {
	if s := p.take(n); !p.failed {
		return s
	}
	return "\x00\x00\x00\x00\x00\x00\x00\x00"
}

// count removes a length that counts what follows, each at least a byte.
func (p *parser) count() int {
	n, special := p.length()
	if special || n > uint64(len(p.rest)) {
		p.failed = true
	}
	if p.failed {
		return 0
	}
	return int(n)
}

// text removes a string.
func (p *parser) text() string {
	n, special := p.length()
	switch {
	case p.failed:
		return ""
	case !special:
		return p.take(n)
	case n <= 2: // a number of one, two or four bytes
		return strconv.FormatInt(p.signed(1<<n), 10)
	case n == 3:
		packed, _ := p.length()
		size, _ := p.length()
		return p.unpack(p.take(packed), size)
	}
	p.failed = true
	return ""
}

// unpack undoes LZF.
func (p *parser) unpack(packed string, size uint64) string {
	if p.failed || size > 1<<30 {
		p.failed = true
		return ""
	}
	out := make([]byte, 0, min(size, uint64(len(packed))*264)) // what LZF can do at most
	in := &parser{rest: packed}
	for in.rest != "" && !in.failed {
		control := in.number(1)
		if control < 32 {
			out = append(out, in.take(control+1)...)
			continue
		}
		n := control >> 5
		if n == 7 {
			n += in.number(1)
		}
		from := len(out) - int((control&0x1f)<<8|in.number(1)) - 1
		if in.failed || from < 0 || uint64(len(out))+n+2 > size {
			p.failed = true
			return ""
		}
		for range n + 2 { // what is copied may overlap what it makes
			out = append(out, out[from])
			from++
		}
	}
	if in.failed || uint64(len(out)) != size {
		p.failed = true
	}
	return string(out)
}

// texts removes a counted list of strings, in groups of that many.
func (p *parser) texts(group int) []string {
	n := p.count() * group
	list := make([]string, 0, min(n, len(p.rest)))
	for range n {
		if p.failed {
			break
		}
		list = append(list, p.text())
	}
	return list
}

// scored removes a counted list of members and binary scores.
func (p *parser) scored() []string {
	n := p.count()
	list := make([]string, 0, min(2*n, len(p.rest)))
	for range n {
		if p.failed {
			break
		}
		member := p.text()
		list = append(list, member, strconv.FormatFloat(math.Float64frombits(p.number(8)), 'g', -1, 64))
	}
	return list
}

// intset removes a sorted array of numbers.
func (p *parser) intset() []string {
	in := &parser{rest: p.text()}
	width, n := in.number(4), in.number(4)
	if width != 2 && width != 4 && width != 8 || n*width != uint64(len(in.rest)) {
		p.failed = true
		return nil
	}
	list := make([]string, n)
	for i := range list {
		list[i] = strconv.FormatInt(in.signed(width), 10)
	}
	return list
}

// quicklist removes a list that is kept in nodes.
func (p *parser) quicklist() (list []string) {
	for range p.count() {
		container, _ := p.length()
		node := p.text()
		switch {
		case p.failed:
			return nil
		case container == 1: // one large element
			list = append(list, node)
		case container == 2:
			list = append(list, p.listpack(node)...)
		default:
			p.failed = true
		}
	}
	return list
}

// listpack reads the elements of a compact list.
func (p *parser) listpack(text string) []string {
	in := &parser{rest: text}
	total, n := in.number(4), in.number(2)
	if p.failed || total != uint64(len(text)) || !strings.HasSuffix(text, "\xff") {
		p.failed = true
		return nil
	}
	var list []string
	for len(in.rest) > 1 && !in.failed {
		list = append(list, in.element())
	}
	if in.failed || in.rest != "\xff" || n != math.MaxUint16 && n != uint64(len(list)) {
		p.failed = true
	}
	return list
}

// element removes one element of a listpack, with the length that follows it.
func (p *parser) element() (element string) {
	before := len(p.rest)
	first := p.number(1)
	switch {
	case first < 0x80: // seven bits
		element = strconv.FormatUint(first, 10)
	case first < 0xc0:
		element = p.take(first & 0x3f)
	case first < 0xe0: // thirteen bits with a sign
		n := int64(first&0x1f)<<8 | int64(p.number(1))
		element = strconv.FormatInt(n<<51>>51, 10)
	case first < 0xf0:
		element = p.take((first&0x0f)<<8 | p.number(1))
	case first == 0xf0:
		element = p.take(p.number(4))
	case first <= 0xf3:
		element = strconv.FormatInt(p.signed(first-0xf0+1), 10)
	case first == 0xf4:
		element = strconv.FormatInt(p.signed(8), 10)
	default:
		p.failed = true
	}
	size := before - len(p.rest)
	p.take(uint64(backLength(size)))
	return element
}

// backLength is how many bytes say how long an element is, after it.
func backLength(size int) int {
	n := 1
	for limit := 127; size > limit && n < 5; n++ {
		limit = limit<<7 | 127
	}
	return n
}
