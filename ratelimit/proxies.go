package ratelimit

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
)

// maxHops bounds how much of a forged X-Forwarded-For is read.
const maxHops = 32

// Proxies are the networks of proxies that are trusted to say whom they forward for.
// The zero Proxies trust nobody: the client is who is connected.
type Proxies []netip.Prefix

// ParseProxies reads networks ("10.0.0.0/8") and single addresses ("::1"), and reports
// every fault at once.
func ParseProxies(networks ...string) (p Proxies, err error) {
	for _, n := range networks {
		prefix, e := netip.ParsePrefix(n)
		if a, e2 := netip.ParseAddr(n); e2 == nil {
			prefix, e = netip.PrefixFrom(a, a.BitLen()), nil
		}
		if e != nil {
			err = errors.Join(err, fmt.Errorf("ratelimit: %w: proxy %q: want a network as 10.0.0.0/8 or an address", ErrOption, n))
			continue
		}
		p = append(p, prefix.Masked())
	}
	return p, err
}

// Client returns the address of who sent a request. Where the peer is trusted,
// X-Forwarded-For is read from its right end, where the nearest proxy writes, as long
// as who wrote is trusted: what stands further left is the client's own invention.
// Where even the first entry is trusted it is that one; where one is no address it is
// the proxy that wrote it. The peer of a Unix socket is trusted if anybody is; its
// address, if none is forwarded, is invalid.
func (p Proxies) Client(r *http.Request) netip.Addr {
	client, known := parseAddr(r.RemoteAddr)
	if known && !p.trusts(client) || len(p) == 0 {
		return client
	}
	hops := strings.Split(tail(strings.Join(r.Header.Values("X-Forwarded-For"), ",")), ",")
	for i := len(hops) - 1; i >= max(0, len(hops)-maxHops); i-- {
		a, ok := parseAddr(strings.TrimSpace(hops[i]))
		if !ok {
			break
		}
		if client = a; !p.trusts(a) {
			break
		}
	}
	return client
}

// tail is as much of a header's end as so many hops can take.
func tail(s string) string {
	const longest = len("[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]:65535, ")
	return s[max(0, len(s)-maxHops*longest):]
}

func (p Proxies) trusts(a netip.Addr) bool {
	for _, n := range p {
		if n.Contains(a) {
			return true
		}
	}
	return false
}

// parseAddr reads an address with or without a port; one of IPv4 in IPv6 is that of
// IPv4.
func parseAddr(s string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(s)
	if err != nil {
		ap, err := netip.ParseAddrPort(s)
		if err != nil {
			return netip.Addr{}, false
		}
		a = ap.Addr()
	}
	return a.Unmap().WithZone(""), true
}

// AddressSubject is the subject under which Middleware limits an address: one of IPv4
// by itself, one of IPv6 by its /64, since every customer has 2^64 of them at least.
// Invalid ones share one subject. No header can spell it.
func AddressSubject(a netip.Addr) string {
	bits := 64
	if a = a.Unmap().WithZone(""); a.Is4() {
		bits = 32
	}
	network, err := a.Prefix(bits)
	if err != nil {
		return "\x00address unknown"
	}
	return "\x00address " + network.String()
}
