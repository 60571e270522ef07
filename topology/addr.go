package topology

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// The ports that are meant where none is given.
const (
	defaultPort         = 6379
	defaultSentinelPort = 26379
)

// Faults of addresses. None holds the address: it may be a URL with a password
// that someone put into the wrong variable.
var (
	errAddr   = errors.New("is not host:port")
	errURL    = errors.New("holds a URL where host:port is meant")
	errPort   = errors.New("holds a port that is not a number from 1 to 65535")
	errHost   = errors.New("holds a host name with characters that none has")
	errNoHost = errors.New("names no host")
	errIPv6   = errors.New("holds an IPv6 address without brackets, as in [fd00::1]:6379")
)

// isSocket reports whether an address is the path of a Unix socket.
func isSocket(addr string) bool { return strings.HasPrefix(addr, "/") }

// parseAddr splits host, host:port, [ipv6] or [ipv6]:port, and returns it in the
// form in which go-redis names addresses.
func parseAddr(s string, port int) (string, error) {
	s = strings.TrimSpace(s)
	host, rest := s, ""
	switch {
	case strings.Contains(s, "://") || strings.Contains(s, "@"):
		return "", errURL
	case strings.HasPrefix(s, "["):
		var ok bool
		if host, rest, ok = strings.Cut(s[1:], "]"); !ok {
			return "", errAddr
		}
		if a, err := netip.ParseAddr(host); err != nil || !a.Is6() {
			return "", errHost
		}
	case strings.Count(s, ":") > 1:
		return "", errIPv6
	case strings.Contains(s, ":"):
		i := strings.IndexByte(s, ':')
		host, rest = s[:i], s[i:]
	}
	if rest != "" {
		p, err := parsePort(strings.TrimPrefix(rest, ":"))
		if err != nil || !strings.HasPrefix(rest, ":") {
			return "", errPort
		}
		port = p
	}
	if err := checkHost(host); err != nil {
		return "", err
	}
	return net.JoinHostPort(host, strconv.Itoa(port)), nil
}

// parsePort takes digits alone: strconv.Atoi would let "+6379" pass.
func parsePort(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 {
		return 0, errPort
	}
	return int(n), nil
}

// checkHost refuses what can be neither a name nor an IP address.
func checkHost(host string) error {
	if host == "" {
		return errNoHost
	}
	if a, err := netip.ParseAddr(host); err == nil && a.IsValid() {
		return nil
	}
	for _, r := range host {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '_', r == '.':
		default:
			return errHost
		}
	}
	return nil
}

// checkAddr accepts only the form that parseAddr returns.
func checkAddr(addr string) error {
	got, err := parseAddr(addr, 0)
	if err == nil && got != addr {
		return errAddr
	}
	return err
}

// parseAddrs splits a list at commas. A comma too many does no harm; an address
// that is named twice counts once.
func parseAddrs(s string, port int) ([]string, error) {
	var addrs []string
	for part := range strings.SplitSeq(s, ",") {
		if strings.TrimSpace(part) == "" {
			continue
		}
		addr, err := parseAddr(part, port)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(addrs, addr) {
			addrs = append(addrs, addr)
		}
	}
	if len(addrs) == 0 {
		return nil, errNoHost
	}
	return addrs, nil
}

// parseAddrMap reads announced=reachable pairs, split at commas.
func parseAddrMap(s string) (map[string]string, error) {
	errPair := errors.New("holds an entry that is not announced:port=reachable:port")
	m := map[string]string{}
	for part := range strings.SplitSeq(s, ",") {
		if strings.TrimSpace(part) == "" {
			continue
		}
		from, to, ok := strings.Cut(part, "=")
		announced, err1 := parseAddr(from, 0)
		reachable, err2 := parseAddr(to, 0)
		if !ok || err1 != nil || err2 != nil || checkAddr(announced) != nil || checkAddr(reachable) != nil {
			return nil, errPair
		}
		if old, ok := m[announced]; ok && old != reachable {
			return nil, errors.New("leads from one announced address to two")
		}
		m[announced] = reachable
	}
	if len(m) == 0 {
		return nil, errPair
	}
	return m, nil
}
