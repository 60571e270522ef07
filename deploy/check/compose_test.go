package check

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

// users are those of deploy/secrets.sh.
var users = []string{"app", "mover", "operator", "replica", "sentinel", "metrics"}

// project loads a Compose file as docker compose does: anchors, variables, schema and
// references.
func project(t *testing.T, name string) *types.Project {
	t.Helper()
	o, err := cli.NewProjectOptions([]string{"../compose/" + name}, cli.WithProfiles([]string{"monitoring"}), cli.WithResolvedPaths(true))
	if err != nil {
		t.Fatal(err)
	}
	p, err := o.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestCompose(t *testing.T) {
	for name, want := range map[string][]string{
		"sentinel.yaml": {"exporter", "grafana", "prometheus", "redis-0", "redis-1", "redis-2", "sentinel-0", "sentinel-1", "sentinel-2"},
		"cluster.yaml":  {"create", "redis-0", "redis-1", "redis-2", "redis-3", "redis-4", "redis-5"},
	} {
		t.Run(name, func(t *testing.T) {
			p := project(t, name)
			got := p.ServiceNames()
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("got services %q; want %q", got, want)
			}
			for _, s := range p.Services {
				service(t, s)
			}
			for _, user := range users {
				if f := p.Secrets[user].File; !strings.HasSuffix(f, "secrets/"+user) {
					t.Errorf("secret %s is the file %q; want what secrets.sh makes", user, f)
				}
			}
		})
	}
}

// service holds one service to what the plan got wrong.
func service(t *testing.T, s types.ServiceConfig) {
	t.Helper()
	if _, tag, ok := strings.Cut(s.Image, ":"); !ok || tag == "latest" {
		t.Errorf("%s: image %q has no version", s.Name, s.Image)
	}
	for _, part := range append(slices.Clone(s.Command), s.Entrypoint...) {
		if strings.Contains(part, "requirepass") || part == "-a" {
			t.Errorf("%s: a password on a command line: %q", s.Name, part)
		}
	}
	for _, port := range s.Ports {
		if port.HostIP != "127.0.0.1" {
			t.Errorf("%s: port %s is open to the network", s.Name, port.Published)
		}
	}
	for _, v := range s.Volumes {
		if v.Type == types.VolumeTypeBind {
			if _, err := os.Stat(v.Source); err != nil {
				t.Errorf("%s: %v", s.Name, err)
			}
		}
	}
	if s.Restart != types.RestartPolicyUnlessStopped {
		t.Errorf("%s: restart %q; want that it stays: docker compose up --wait fails with a service that ends", s.Name, s.Restart)
	}
	if !strings.HasPrefix(s.Name, "redis-") && !strings.HasPrefix(s.Name, "sentinel-") {
		return
	}
	script := s.Entrypoint[len(s.Entrypoint)-1]
	dir := "../" + strings.TrimPrefix(filepath.Dir(script), "/etc/")
	if _, err := os.Stat(filepath.Join(dir, filepath.Base(script))); err != nil {
		t.Errorf("%s: %v", s.Name, err)
	}
	if i := slices.IndexFunc(s.Volumes, func(v types.ServiceVolumeConfig) bool { return v.Target == "/data" }); i < 0 || s.Volumes[i].ReadOnly {
		t.Errorf("%s has no place of its own that it can write: got volumes %v", s.Name, s.Volumes)
	}
	if s.HealthCheck == nil || s.MemLimit == 0 || s.User == "" {
		t.Errorf("%s: want a health check, a bound of memory and a user", s.Name)
	}
	if host := s.Environment["HOST"]; host == nil || *host != s.Name {
		t.Errorf("%s: want HOST to be its name", s.Name)
	}
}
