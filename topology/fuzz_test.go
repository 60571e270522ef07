package topology_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/transload/transload/topology"
)

// FuzzFromEnv holds that nothing that people can put into variables makes
// FromEnv panic, show a password, or return what Open refuses.
func FuzzFromEnv(f *testing.F) {
	f.Add("", "@h:6379/1?db=1", "a:1,[::1]:2", "a:1=b:2", "5s", "true")
	f.Add("app:", "%41@h", "", "", "", "")
	f.Add(":", "/x@h#y", "fd00::1", "=", "-1", "2")
	f.Add("u:1?db=1&", "@h", ",", "[::1]:1=[::2]:2", "1h", "no")
	f.Add("[", "]:@[::1%25eth0]:1", "a\x00b", "a:1=b:1,a:1=c:1", "999999h", "")
	f.Fuzz(func(t *testing.T, before, after, list, pairs, duration, flag string) {
		url := "redis://" + before + "s3cr3t" + after
		for _, words := range [][]string{
			{"URL=" + url, "READER_URL=" + url, "TLS=" + flag, "DIAL_TIMEOUT=" + duration, "DB=" + duration, "ADDR_MAP=" + pairs},
			{"SENTINELS=" + list, "ADDR_MAP=" + pairs, "READ_TIMEOUT=" + duration, "RETRIES=" + flag, "SENTINEL_MASTER=" + after, "PASSWORD=s3cr3t" + after},
			{"CLUSTER_NODES=" + list, "POOL_SIZE=" + duration, "ENABLED=" + flag, "PASSWORD=s3cr3t" + after, "READ_FROM=" + flag},
			{"HOST=" + list, "PORT=" + duration, "PASSWORD=s3cr3t" + after, "USERNAME=" + before},
			{"URL=unix://:s3cr3t" + after, "TLS_SERVER_NAME=" + before},
		} {
			c, err := topology.FromEnv("REDIS", vars(words...))
			if errors.Is(err, topology.ErrDisabled) {
				continue
			}
			if err != nil {
				// Before the secret may stand what makes it a host or an option; it
				// must not show even then.
				if strings.Contains(err.Error(), "s3cr3t") {
					t.Fatalf("%q: the secret shows: %v", words, err)
				}
				if len(faults(err)) == 0 {
					t.Fatalf("%q: an error without a name: %v", words, err)
				}
				continue
			}
			if err := c.Validate(); err != nil {
				t.Fatalf("%q: read but not valid: %v", words, err)
			}
			client, err := topology.Open(c)
			if err != nil {
				t.Fatalf("%q: read but not opened: %v", words, err)
			}
			if err := client.Close(); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(c.Password), "s3cr3t") && strings.Count(c.String(), "s3cr3t") > strings.Count(c.Username+strings.Join(c.Addrs, ""), "s3cr3t") {
				t.Fatalf("%q: the password shows: %v", words, c)
			}
		}
	})
}
