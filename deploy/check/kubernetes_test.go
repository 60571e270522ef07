package check

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/yaml"
	strict "sigs.k8s.io/yaml"
)

const manifests = "../kubernetes"

// kinds are the types to whose fields each document is held, by kind.
var kinds = map[string]func() any{
	"Namespace":           func() any { return new(corev1.Namespace) },
	"ConfigMap":           func() any { return new(corev1.ConfigMap) },
	"Service":             func() any { return new(corev1.Service) },
	"StatefulSet":         func() any { return new(appsv1.StatefulSet) },
	"PodDisruptionBudget": func() any { return new(policyv1.PodDisruptionBudget) },
	"NetworkPolicy":       func() any { return new(networkingv1.NetworkPolicy) },
}

// objects decodes every document, and fails on a field that its kind does not have.
func objects(t *testing.T) (list []any) {
	t.Helper()
	var index struct{ Resources []string }
	if err := strict.Unmarshal(read(t, manifests+"/kustomization.yaml"), &index); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(manifests + "/*.yaml")
	if len(files) != len(index.Resources)+1 {
		t.Errorf("kustomization.yaml lists %q; there are %q", index.Resources, files)
	}
	for _, name := range index.Resources {
		docs := yaml.NewYAMLReader(newReader(read(t, filepath.Join(manifests, name))))
		for {
			doc, err := docs.Read()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if o := decode(t, name, doc); o != nil {
				list = append(list, o)
			}
		}
	}
	return list
}

func decode(t *testing.T, name string, doc []byte) any {
	t.Helper()
	if len(bytes.TrimSpace(stripComments(doc))) == 0 {
		return nil
	}
	var head struct{ Kind string }
	if err := strict.Unmarshal(doc, &head); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	fresh, ok := kinds[head.Kind]
	if !ok {
		t.Fatalf("%s: kind %q is not known to this test", name, head.Kind)
	}
	o := fresh()
	if err := strict.UnmarshalStrict(doc, o); err != nil {
		t.Errorf("%s: %s: %v", name, head.Kind, err)
	}
	return o
}

func stripComments(doc []byte) []byte {
	lines := strings.Split(string(doc), "\n")
	return []byte(strings.Join(slices.DeleteFunc(lines, func(l string) bool { return strings.HasPrefix(l, "#") }), "\n"))
}

func of[T any](list []any) (out []T) {
	for _, o := range list {
		if v, ok := o.(T); ok {
			out = append(out, v)
		}
	}
	return out
}

func TestKubernetes(t *testing.T) {
	list := objects(t)
	sets := of[*appsv1.StatefulSet](list)
	if len(sets) != 2 {
		t.Fatalf("got %d StatefulSets; want data servers and sentinels", len(sets))
	}
	for _, s := range sets {
		statefulSet(t, s)
		i := slices.IndexFunc(of[*corev1.Service](list), func(x *corev1.Service) bool { return x.Name == s.Spec.ServiceName })
		if i < 0 {
			t.Fatalf("%s: no service %s", s.Name, s.Spec.ServiceName)
		}
		if x := of[*corev1.Service](list)[i]; x.Spec.ClusterIP != corev1.ClusterIPNone || !x.Spec.PublishNotReadyAddresses {
			t.Errorf("service %s: want names of single pods, also of those that are not ready", x.Name)
		}
		if !slices.ContainsFunc(of[*policyv1.PodDisruptionBudget](list), func(b *policyv1.PodDisruptionBudget) bool { return b.Name == s.Name }) {
			t.Errorf("%s: no budget for disruptions", s.Name)
		}
		mounted(t, s, of[*corev1.ConfigMap](list))
	}
	if len(of[*networkingv1.NetworkPolicy](list)) == 0 {
		t.Error("no network policy: anybody in the cluster reaches Redis")
	}
}

// statefulSet holds one to what the plan got wrong.
func statefulSet(t *testing.T, s *appsv1.StatefulSet) {
	t.Helper()
	pod := s.Spec.Template.Spec
	if *s.Spec.Replicas != 3 || len(s.Spec.VolumeClaimTemplates) != 1 {
		t.Errorf("%s: want three, each with a volume", s.Name)
	}
	apart := pod.Affinity.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution
	if len(apart) != 1 || apart[0].TopologyKey != "kubernetes.io/hostname" || apart[0].LabelSelector.MatchLabels["app"] != s.Spec.Template.Labels["app"] {
		t.Errorf("%s: two may run on one node", s.Name)
	}
	if pod.SecurityContext == nil || !*pod.SecurityContext.RunAsNonRoot {
		t.Errorf("%s runs as root", s.Name)
	}
	for _, c := range pod.Containers {
		if c.Resources.Limits.Memory().IsZero() || c.Resources.Requests.Cpu().IsZero() {
			t.Errorf("%s: %s has no bounds", s.Name, c.Name)
		}
		for _, p := range []*corev1.Probe{c.LivenessProbe, c.ReadinessProbe, c.StartupProbe} {
			if p != nil && p.Exec != nil && strings.Contains(strings.Join(p.Exec.Command, " "), "$(") {
				t.Errorf("%s: $(…) in a probe's command is sent as it stands: %q", c.Name, p.Exec.Command)
			}
		}
	}
	main := pod.Containers[0]
	if main.LivenessProbe == nil || main.ReadinessProbe == nil {
		t.Errorf("%s: want both probes", s.Name)
	}
	for _, e := range main.Env {
		if e.Name == "MAXMEMORY" {
			data := resource.MustParse(strings.TrimSuffix(e.Value, "mb") + "Mi")
			if share := float64(data.Value()) / float64(main.Resources.Limits.Memory().Value()); share > 0.75 {
				t.Errorf("%s: maxmemory is %.2f of the bound: no room for the copy that a save makes", s.Name, share)
			}
		}
	}
}

// mounted holds that what the container runs is in the ConfigMap that it mounts.
func mounted(t *testing.T, s *appsv1.StatefulSet, maps []*corev1.ConfigMap) {
	t.Helper()
	pod := s.Spec.Template.Spec
	for _, c := range pod.Containers {
		for _, m := range c.VolumeMounts {
			i := slices.IndexFunc(pod.Volumes, func(v corev1.Volume) bool { return v.Name == m.Name && v.ConfigMap != nil })
			if i < 0 {
				continue
			}
			j := slices.IndexFunc(maps, func(x *corev1.ConfigMap) bool { return x.Name == pod.Volumes[i].ConfigMap.Name })
			if j < 0 {
				t.Fatalf("%s: no ConfigMap %s", s.Name, pod.Volumes[i].ConfigMap.Name)
			}
			script := strings.TrimPrefix(c.Command[len(c.Command)-1], m.MountPath+"/")
			if maps[j].Data[script] == "" {
				t.Errorf("%s runs %s, which %s does not hold", s.Name, script, maps[j].Name)
			}
		}
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
