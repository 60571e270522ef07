package topology

import (
	"net"
	"testing"
)

func TestParseAddr(t *testing.T) {
	for in, want := range map[string]string{
		"h":                    "h:1234",
		" h:1 ":                "h:1",
		"10.0.0.1:7000":        "10.0.0.1:7000",
		"[::1]":                "[::1]:1234",
		"[fe80::1%eth0]:7000":  "[fe80::1%eth0]:7000",
		"redis_1.railway-x.io": "redis_1.railway-x.io:1234",
	} {
		if got, err := parseAddr(in, 1234); err != nil || got != want {
			t.Errorf("%q: got %q, %v; want %q", in, got, err, want)
		}
	}
	for _, in := range []string{"", ":", ":1", "h:", "h:0", "h:65536", "h:+1", "h:1:2", "::1", "[::1", "[h]:1", "[127.0.0.1]:1", "[::1]1", "[::1]:", "a b", "a/b", "u:p@h:1", "redis://h"} {
		if got, err := parseAddr(in, 1234); err == nil {
			t.Errorf("%q: got %q; want a fault", in, got)
		}
	}
}

func FuzzParseAddr(f *testing.F) {
	for _, s := range []string{"h", "h:1", "[::1]:6379", "fe80::1%eth0", "[]:1", "a@b", "%"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		addr, err := parseAddr(s, 6379)
		if err != nil {
			return
		}
		if _, _, err := net.SplitHostPort(addr); err != nil {
			t.Fatalf("%q became %q: %v", s, addr, err)
		}
		if err := checkAddr(addr); err != nil {
			t.Fatalf("%q became %q, which is refused: %v", s, addr, err)
		}
	})
}

func FuzzParseClusterNodes(f *testing.F) {
	f.Add("07c37df 127.0.0.1:30004@31004,host master,fail? - 0 1426238317239 4 connected 0-5460 [93->-292f8b]\n")
	f.Add("id :0@0 myself,slave,noaddr m 0 0 1 disconnected\nid [::1]:1@2 handshake - 0 0 0 x\nid ::1:6379@1 slave m 0 0 0 connected\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, n := range parseClusterNodes(text) {
			if n.Role != Master && n.Role != Replica {
				t.Fatalf("role %q", n.Role)
			}
		}
	})
}

func TestResolve(t *testing.T) {
	for name, tt := range map[string]struct{ addr, origin, want string }{
		"as it is":                {"10.0.0.1:7000", "10.0.0.2:7001", "10.0.0.1:7000"},
		"loopback seen from afar": {"127.0.0.1:7000", "10.0.0.2:7001", "10.0.0.2:7000"},
		"loopback seen from home": {"127.0.0.1:7000", "localhost:7001", "127.0.0.1:7000"},
		"port 0":                  {"10.0.0.1:0", "10.0.0.2:7001", "10.0.0.1:7001"},
		"no host":                 {":7000", "10.0.0.2:7001", "10.0.0.2:7000"},
		"IPv6":                    {"[fd00::1]:7000", "[fd00::2]:7001", "[fd00::1]:7000"},
	} {
		if got := resolve(tt.addr, tt.origin); got != tt.want {
			t.Errorf("%s: got %s; want %s", name, got, tt.want)
		}
	}
}
