package topology_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/transload/transload/topology"
)

// vars makes a getenv function of NAME=value words, with the prefix REDIS_.
func vars(words ...string) func(string) string {
	m := map[string]string{}
	for _, w := range words {
		name, value, _ := strings.Cut(w, "=")
		m["REDIS_"+name] = value
	}
	return func(name string) string { return m[name] }
}

func TestFromEnv(t *testing.T) {
	type C = topology.Config
	for name, tt := range map[string]struct {
		env  []string
		want C
	}{
		"enabled alone": {
			env:  []string{"ENABLED=true"},
			want: C{Mode: topology.Standalone, Addrs: []string{"localhost:6379"}},
		},
		"host enables": {
			env:  []string{"HOST=redis-1", "PORT=6380", "DB=3", "PASSWORD=p"},
			want: C{Mode: topology.Standalone, Addrs: []string{"redis-1:6380"}, DB: 3, Password: "p"},
		},
		"IPv6 host": {
			env:  []string{"HOST=fd00::1"},
			want: C{Mode: topology.Standalone, Addrs: []string{"[fd00::1]:6379"}},
		},
		"IPv6 host in brackets": {
			env:  []string{"HOST=[fd00::1]", "PORT=7000"},
			want: C{Mode: topology.Standalone, Addrs: []string{"[fd00::1]:7000"}},
		},
		"URL": {
			env:  []string{"URL=redis://app:p%40ss@redis-1:6380/2"},
			want: C{Mode: topology.Standalone, Addrs: []string{"redis-1:6380"}, DB: 2, Username: "app", Password: "p@ss"},
		},
		"URL with IPv6": {
			env:  []string{"URL=redis://[fd00::1]/"},
			want: C{Mode: topology.Standalone, Addrs: []string{"[fd00::1]:6379"}},
		},
		"URL with TLS, and the password beside it": {
			env: []string{"URL=rediss://freight.use1.cache.amazonaws.com:6379", "PASSWORD=token", "ENABLED=true"},
			want: C{Mode: topology.Standalone, Addrs: []string{"freight.use1.cache.amazonaws.com:6379"}, Password: "token",
				TLS: topology.TLS{Enabled: true}},
		},
		"URL's own settings go first": {
			env: []string{"URL=redis://u:p@h/1?dial_timeout=2s&read_timeout=1s&pool_size=7&max_retries=0", "USERNAME=v", "PASSWORD=q",
				"DB=2", "DIAL_TIMEOUT=9s", "READ_TIMEOUT=9s", "POOL_SIZE=9", "RETRIES=9", "HOST=x", "PORT=bad"},
			want: C{Mode: topology.Standalone, Addrs: []string{"h:6379"}, Username: "u", Password: "p", DB: 1,
				DialTimeout: 2 * time.Second, ReadTimeout: time.Second, PoolSize: 7, Retries: -1,
				Unused: []string{"REDIS_HOST", "REDIS_PORT", "REDIS_DB", "REDIS_USERNAME", "REDIS_PASSWORD",
					"REDIS_POOL_SIZE", "REDIS_DIAL_TIMEOUT", "REDIS_READ_TIMEOUT", "REDIS_RETRIES"}},
		},
		"URL of a socket": {
			env:  []string{"URL=unix://:p@/run/redis.sock?db=4"},
			want: C{Mode: topology.Standalone, Addrs: []string{"/run/redis.sock"}, Password: "p", DB: 4},
		},
		"TLS beside a plain URL": {
			env:  []string{"URL=redis://h", "TLS=yes", "TLS_SERVER_NAME=redis.example"},
			want: C{Mode: topology.Standalone, Addrs: []string{"h:6379"}, TLS: topology.TLS{Enabled: true, ServerName: "redis.example"}},
		},
		"sentinels, by the plan's names": {
			env: []string{"ENABLED=true", "SENTINELS=sentinel-1:26379, sentinel-2 ,[fd00::3]:26380,", "PASSWORD=p"},
			want: C{Mode: topology.Sentinel, Addrs: []string{"sentinel-1:26379", "sentinel-2:26379", "[fd00::3]:26380"},
				SentinelMaster: "freight-master", Password: "p"},
		},
		"sentinels before nodes before URL before host": {
			env: []string{"SENTINELS=s", "CLUSTER_NODES=bad:port", "URL=not a URL", "HOST=a b", "SENTINEL_MASTER=m",
				"SENTINEL_USERNAME=su", "SENTINEL_PASSWORD=sp"},
			want: C{Mode: topology.Sentinel, Addrs: []string{"s:26379"}, SentinelMaster: "m", SentinelUsername: "su", SentinelPassword: "sp",
				Unused: []string{"REDIS_URL", "REDIS_HOST", "REDIS_CLUSTER_NODES"}},
		},
		"nodes before URL": {
			env: []string{"CLUSTER_NODES=n1:7000,n2,n1:7000", "URL=redis://h", "DB=0", "SENTINEL_MASTER=m"},
			want: C{Mode: topology.Cluster, Addrs: []string{"n1:7000", "n2:6379"},
				Unused: []string{"REDIS_URL", "REDIS_SENTINEL_MASTER"}},
		},
		"address map": {
			env: []string{"CLUSTER_NODES=n1", "ADDR_MAP=172.18.0.2:6379=localhost:7001,[fd00::1]:6379=[::1]:7002"},
			want: C{Mode: topology.Cluster, Addrs: []string{"n1:6379"},
				AddrMap: map[string]string{"172.18.0.2:6379": "localhost:7001", "[fd00::1]:6379": "[::1]:7002"}},
		},
		"reader": {
			env: []string{"URL=rediss://h", "READER_URL=rediss://u:p@h-ro:6380", "READ_FROM=Replica", "READ_POOL_SIZE=20", "READ_MAX_LAG=30s", "READ_OWN_WRITES=0"},
			want: C{Mode: topology.Standalone, Addrs: []string{"h:6379"}, TLS: topology.TLS{Enabled: true},
				Reader: topology.Reader{From: topology.ReadReplica, Addr: "h-ro:6380", Username: "u", Password: "p", TLS: true, PoolSize: 20,
					MaxLag: 30 * time.Second, OwnWrites: -1}},
		},
		"reader without reads from it": {
			env: []string{"URL=redis://h", "READER_URL=redis://h-ro", "READ_MAX_LAG=x"},
			want: C{Mode: topology.Standalone, Addrs: []string{"h:6379"},
				Unused: []string{"REDIS_READER_URL", "REDIS_READ_MAX_LAG"}},
		},
		"a password keeps its white space": {
			env:  []string{"HOST=h", "PASSWORD= p "},
			want: C{Mode: topology.Standalone, Addrs: []string{"h:6379"}, Password: " p "},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := topology.FromEnv("REDIS", vars(tt.env...))
			if err != nil {
				t.Fatal(err)
			}
			if exported(got) != exported(tt.want) {
				t.Errorf("got  %s\nwant %s", exported(got), exported(tt.want))
			}
		})
	}
}

// exported prints what users can see of a Config, secrets included.
func exported(c topology.Config) string {
	v := reflect.ValueOf(c)
	var s []string
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if f.IsExported() && !v.Field(i).IsZero() {
			if v.Field(i).Type() == reflect.TypeFor[topology.Secret]() {
				s = append(s, f.Name+"="+v.Field(i).String())
				continue
			}
			s = append(s, fmt.Sprintf("%s=%+v", f.Name, v.Field(i).Interface()))
		}
	}
	return strings.Join(s, " ") + " " + string(c.Reader.Password)
}

func TestFromEnvDisabled(t *testing.T) {
	for name, env := range map[string][]string{
		"nothing set":           nil,
		"said so":               {"ENABLED=false"},
		"said so beside a URL":  {"ENABLED=0", "URL=redis://h", "SENTINELS=s", "DB=x"},
		"a port does not count": {"PORT=6379", "PASSWORD=p", "DB=x"},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := topology.FromEnv("REDIS", vars(env...))
			if !errors.Is(err, topology.ErrDisabled) || !c.Disabled() {
				t.Errorf("got %v, %v; want ErrDisabled", c, err)
			}
		})
	}
	if _, err := topology.Open(topology.Config{}); !errors.Is(err, topology.ErrDisabled) {
		t.Errorf("Open: got %v; want ErrDisabled", err)
	}
}

func TestFromEnvFaults(t *testing.T) {
	dir := t.TempDir()
	for name, tt := range map[string]struct{ env, want []string }{
		"enabled":                 {[]string{"ENABLED=maybe"}, []string{"ENABLED"}},
		"port":                    {[]string{"HOST=h", "PORT=63790x"}, []string{"PORT"}},
		"port too high":           {[]string{"HOST=h", "PORT=65536"}, []string{"PORT"}},
		"host with a port":        {[]string{"HOST=h:6379"}, []string{"HOST"}},
		"host is a URL":           {[]string{"HOST=redis://h"}, []string{"HOST"}},
		"host is a path":          {[]string{"HOST=/run/redis.sock"}, []string{"HOST"}},
		"URL scheme":              {[]string{"URL=http://h"}, []string{"URL"}},
		"URL without scheme":      {[]string{"URL=h:6379"}, []string{"URL"}},
		"URL without host":        {[]string{"URL=redis://:6379"}, []string{"URL"}},
		"URL port":                {[]string{"URL=redis://h:0"}, []string{"URL"}},
		"URL path":                {[]string{"URL=redis://h/one"}, []string{"URL"}},
		"URL names two databases": {[]string{"URL=redis://h/1?db=2"}, []string{"URL"}},
		"URL option":              {[]string{"URL=redis://h?protocol=2"}, []string{"URL"}},
		"URL option twice":        {[]string{"URL=redis://h?db=1&db=1"}, []string{"URL"}},
		"URL without verifying":   {[]string{"URL=rediss://h?skip_verify=true"}, []string{"URL"}},
		"URL relative socket":     {[]string{"URL=unix://run/redis.sock"}, []string{"URL"}},
		"URL raw password":        {[]string{"URL=redis://:a#b@h"}, []string{"URL"}},
		"URL user alone":          {[]string{"URL=redis://app@h"}, []string{"URL"}},
		"URL against TLS":         {[]string{"URL=rediss://h", "TLS=false"}, []string{"TLS"}},
		"TLS on a socket":         {[]string{"URL=unix:///s", "TLS=true"}, []string{"TLS"}},
		"TLS settings without TLS": {[]string{"HOST=h", "TLS_CA=ca.pem", "TLS_SERVER_NAME=n"},
			[]string{"TLS_CA", "TLS_SERVER_NAME"}},
		"TLS files":                {[]string{"HOST=h", "TLS=true", "TLS_CA=" + dir + "/none", "TLS_CERT=" + dir + "/none"}, []string{"TLS_KEY", "TLS_CA"}},
		"sentinels' port":          {[]string{"SENTINELS=a:1,b:x"}, []string{"SENTINELS"}},
		"sentinels are URLs":       {[]string{"SENTINELS=redis://:secret@a"}, []string{"SENTINELS"}},
		"sentinels: no address":    {[]string{"SENTINELS=,"}, []string{"SENTINELS"}},
		"sentinels: bare IPv6":     {[]string{"SENTINELS=fd00::1"}, []string{"SENTINELS"}},
		"sentinel user alone":      {[]string{"SENTINELS=a", "SENTINEL_USERNAME=u"}, []string{"SENTINEL_USERNAME"}},
		"cluster with a database":  {[]string{"CLUSTER_NODES=n", "DB=1"}, []string{"DB"}},
		"user alone":               {[]string{"HOST=h", "USERNAME=u"}, []string{"USERNAME"}},
		"durations want a unit":    {[]string{"HOST=h", "DIAL_TIMEOUT=5", "READ_TIMEOUT=-1s"}, []string{"DIAL_TIMEOUT", "READ_TIMEOUT"}},
		"numbers":                  {[]string{"HOST=h", "DB=-1", "POOL_SIZE=0", "RETRIES=few", "READER_URL=redis://r", "READ_FROM=replica", "READ_POOL_SIZE=x"}, []string{"DB", "POOL_SIZE", "READ_POOL_SIZE", "RETRIES"}},
		"address map":              {[]string{"CLUSTER_NODES=n", "ADDR_MAP=a:1"}, []string{"ADDR_MAP"}},
		"address map: two targets": {[]string{"CLUSTER_NODES=n", "ADDR_MAP=a:1=b:1,a:1=c:1"}, []string{"ADDR_MAP"}},
		"reader":                   {[]string{"HOST=h", "READER_URL=unix:///s", "READ_FROM=nearest"}, []string{"READER_URL", "READ_FROM"}},
		"reader of a cluster":      {[]string{"CLUSTER_NODES=n", "READER_URL=redis://r", "READ_FROM=replica"}, []string{"READER_URL"}},
		"reader is the primary":    {[]string{"HOST=h", "READER_URL=redis://h", "READ_FROM=replica"}, []string{"READER_URL"}},
		"reader's windows":         {[]string{"SENTINELS=s", "READ_FROM=replica", "READ_MAX_LAG=1s", "READ_OWN_WRITES=soon"}, []string{"READ_MAX_LAG", "READ_OWN_WRITES"}},
		"replicas unknown":         {[]string{"HOST=h", "READ_FROM=replica"}, []string{"READ_FROM"}},
		"TLS of a URL unknown":     {[]string{"URL=not a url", "TLS_CA=/none", "TLS_SERVER_NAME=n"}, []string{"URL"}},
		"missing file":             {[]string{"HOST=h", "PASSWORD_FILE=" + dir + "/none"}, []string{"PASSWORD_FILE"}},
		"a directory":              {[]string{"URL_FILE=" + dir}, []string{"URL_FILE"}},
		"file beside variable":     {[]string{"HOST=h", "PASSWORD=p", "PASSWORD_FILE=" + dir + "/none"}, []string{"PASSWORD_FILE"}},
		"all at once": {[]string{"SENTINELS=a:x", "SENTINEL_MASTER=a b", "DB=x", "TLS=maybe", "POOL_SIZE=-1", "RETRIES=101"},
			[]string{"TLS", "SENTINELS", "DB", "POOL_SIZE", "SENTINEL_MASTER", "RETRIES"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := topology.FromEnv("REDIS", vars(tt.env...))
			got := faults(err)
			want := slices.Clone(tt.want)
			for i := range want {
				want[i] = "REDIS_" + want[i]
			}
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("got faults of %v; want %v\n%v", got, want, err)
			}
			if err != nil && (strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), dir)) {
				t.Errorf("the error holds a value: %v", err)
			}
		})
	}
}

// faults returns the names in a joined error.
func faults(err error) []string {
	if err == nil {
		return nil
	}
	var names []string
	list := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		list = joined.Unwrap()
	}
	for _, err := range list {
		if fe, ok := errors.AsType[*topology.FieldError](err); ok {
			names = append(names, fe.Name)
		}
	}
	return names
}

// TestFaultsSayWhatWouldDo holds faults to naming what may be set.
func TestFaultsSayWhatWouldDo(t *testing.T) {
	_, err := topology.FromEnv("REDIS", vars("HOST=h", "DB=-1", "READ_FROM=nearest"))
	for _, want := range []string{"REDIS_DB: must not be negative", "REDIS_READ_FROM: is not one of the choices: primary and replica"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v; want it to say %q", err, want)
		}
	}
}

func TestFromEnvFiles(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	c, err := topology.FromEnv("REDIS", vars("SENTINELS=s",
		"PASSWORD_FILE="+file("pw", "p 1\r\n"), "USERNAME_FILE="+file("user", "app\n"),
		"SENTINEL_PASSWORD_FILE="+file("spw", "p2"), "URL_FILE="+dir+"/none"))
	if err != nil || c.Password != "p 1" || c.Username != "app" || c.SentinelPassword != "p2" {
		t.Errorf("got %q, %q, %q, %v", c.Username, string(c.Password), string(c.SentinelPassword), err)
	}
	if want := []string{"REDIS_URL"}; !slices.Equal(c.Unused, want) {
		t.Errorf("got unused %v; want %v", c.Unused, want)
	}
	c, err = topology.FromEnv("REDIS", vars("URL_FILE="+file("url", "redis://:p3@h\n")))
	if err != nil || c.Password != "p3" || c.Addrs[0] != "h:6379" {
		t.Errorf("got %v, %v", c, err)
	}
	for name, text := range map[string]string{"empty": "\n", "large": strings.Repeat("x", 1<<17)} {
		if _, err := topology.FromEnv("REDIS", vars("HOST=h", "PASSWORD_FILE="+file(name, text))); !slices.Equal(faults(err), []string{"REDIS_PASSWORD_FILE"}) {
			t.Errorf("%s file: got %v", name, err)
		}
	}
}
