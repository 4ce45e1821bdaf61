// Package test decodes the manifests into the types of the API servers. An unknown or
// misspelt field is an error here; an API server may drop it without a message.
package test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	monitoringv1alpha1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1alpha1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/yaml"
)

// kinds maps each kind of manifest to a constructor of its type.
var kinds = map[string]func() any{
	"v1/ConfigMap":                                func() any { return new(corev1.ConfigMap) },
	"v1/Secret":                                   func() any { return new(corev1.Secret) },
	"v1/Service":                                  func() any { return new(corev1.Service) },
	"v1/PersistentVolumeClaim":                    func() any { return new(corev1.PersistentVolumeClaim) },
	"apps/v1/Deployment":                          func() any { return new(appsv1.Deployment) },
	"apps/v1/StatefulSet":                         func() any { return new(appsv1.StatefulSet) },
	"networking.k8s.io/v1/NetworkPolicy":          func() any { return new(networkingv1.NetworkPolicy) },
	"monitoring.coreos.com/v1/PodMonitor":         func() any { return new(monitoringv1.PodMonitor) },
	"monitoring.coreos.com/v1/ServiceMonitor":     func() any { return new(monitoringv1.ServiceMonitor) },
	"monitoring.coreos.com/v1/PrometheusRule":     func() any { return new(monitoringv1.PrometheusRule) },
	"monitoring.coreos.com/v1alpha1/ScrapeConfig": func() any { return new(monitoringv1alpha1.ScrapeConfig) },
}

// kustomization is the part of kustomization.yaml that is looked at.
type kustomization struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"`
	Namespace  string   `json:"namespace"`
	Resources  []string `json:"resources"`
}

// typed decodes one manifest strictly, into the type of its kind.
func typed(content []byte) (any, error) {
	var head struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
	}
	if err := yaml.Unmarshal(content, &head); err != nil {
		return nil, err
	}
	make, ok := kinds[head.APIVersion+"/"+head.Kind]
	if !ok {
		return nil, fmt.Errorf("%s/%s is not a kind that this test knows", head.APIVersion, head.Kind)
	}
	object := make()
	return object, yaml.UnmarshalStrict(content, object)
}

// documents are the manifests of a file, which "---" separates.
func documents(text string) []string {
	all := strings.Split(text, "\n---\n")
	for i := range all {
		all[i] = strings.TrimPrefix(all[i], "---\n") + "\n" // which a literal block may end with
	}
	return all
}

// addAll adds the manifests of a file to objects, by kind and name. A key that is
// there twice is an error, and an object too.
func addAll(objects map[string]object, file, text string) error {
	for _, document := range documents(text) {
		var o object
		if err := yaml.UnmarshalStrict([]byte(document), &o); err != nil {
			return fmt.Errorf("%s: %w\n%s", file, err, document)
		}
		if len(o) == 0 {
			continue
		}
		name := fmt.Sprint(o["kind"], "/", o["metadata"].(object)["name"])
		if objects[name] != nil {
			return fmt.Errorf("%s: there is another %s", file, name)
		}
		objects[name] = o
	}
	return nil
}

// manifestFiles are the names of the files in deploy/kubernetes.
func manifestFiles(t *testing.T) (names []string) {
	t.Helper()
	files, err := filepath.Glob("../*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, file := range files {
		if name := filepath.Base(file); name != "kustomization.yaml" {
			names = append(names, name)
		}
	}
	return names
}

// readAll decodes the manifests of a file strictly.
func readAll(t *testing.T, file string) (objects []any) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("..", file))
	if err != nil {
		t.Fatal(err)
	}
	for _, document := range documents(string(content)) {
		object, err := typed([]byte(document))
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		objects = append(objects, object)
	}
	return objects
}

// read decodes the only manifest of a file.
func read(t *testing.T, file string) any {
	t.Helper()
	objects := readAll(t, file)
	if len(objects) != 1 {
		t.Fatalf("%s: %d manifests, want 1", file, len(objects))
	}
	return objects[0]
}

func TestManifestsAreStrictlyRight(t *testing.T) {
	content, err := os.ReadFile("../kustomization.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var k kustomization
	if err := yaml.UnmarshalStrict(content, &k); err != nil {
		t.Fatalf("kustomization.yaml: %v", err)
	}
	files := manifestFiles(t)
	for _, name := range files {
		readAll(t, name)
		if !strings.Contains(string(content), "- "+name+"\n") {
			t.Errorf("kustomization.yaml does not name %s", name)
		}
	}
	for _, name := range k.Resources {
		if !slices.Contains(files, name) {
			t.Errorf("kustomization.yaml names %s, which does not exist", name)
		}
	}
}

func TestAMisspeltFieldIsAnError(t *testing.T) {
	wrong := []byte("apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {selectors: {a: b}}\n")
	if err := yaml.UnmarshalStrict(wrong, new(corev1.Service)); err == nil {
		t.Error("the field selectors passed")
	}
}

// Names and labels that one manifest refers to must be those of the others.
func TestManifestsFitTogether(t *testing.T) {
	deployment := read(t, "deployment.yaml").(*appsv1.Deployment)
	config := read(t, "configmap.yaml").(*corev1.ConfigMap)
	secret := read(t, "secret.yaml").(*corev1.Secret)
	service := read(t, "service.yaml").(*corev1.Service)
	monitor := read(t, "servicemonitor.yaml").(*monitoringv1.ServiceMonitor)

	pod := deployment.Spec.Template
	for name, value := range service.Spec.Selector {
		if pod.Labels[name] != value || deployment.Spec.Selector.MatchLabels[name] != value {
			t.Errorf("the Service selects %s=%s, which the pod does not have", name, value)
		}
	}
	for name, value := range monitor.Spec.Selector.MatchLabels {
		if service.Labels[name] != value {
			t.Errorf("the ServiceMonitor selects %s=%s, which the Service does not have", name, value)
		}
	}
	container := pod.Spec.Containers[0]
	port := container.Ports[0].Name
	if service.Spec.Ports[0].TargetPort.String() != port || monitor.Spec.Endpoints[0].Port != service.Spec.Ports[0].Name {
		t.Errorf("the port is not named %q in all manifests", port)
	}

	mounts := map[string]string{} // volume to path
	for _, m := range container.VolumeMounts {
		mounts[m.Name] = m.MountPath
	}
	var secrets string
	for _, v := range pod.Spec.Volumes {
		switch {
		case v.ConfigMap != nil && v.ConfigMap.Name != config.Name:
			t.Errorf("the volume %s is of a ConfigMap that does not exist", v.Name)
		case v.Secret != nil && v.Secret.SecretName != secret.Name:
			t.Errorf("the volume %s is of a Secret that does not exist", v.Name)
		case v.Secret != nil:
			secrets = mounts[v.Name]
		}
		if mounts[v.Name] == "" {
			t.Errorf("the volume %s is not mounted", v.Name)
		}
	}
	for key := range secret.StringData {
		if want := "password_file: " + secrets + "/" + key + "\n"; !strings.Contains(config.Data["config.yml"], want) {
			t.Errorf("no connection uses %s/%s", secrets, key)
		}
	}
}

// httpGet is refused where --web.config.file asks for a password.
func TestProbesAreCommands(t *testing.T) {
	container := read(t, "deployment.yaml").(*appsv1.Deployment).Spec.Template.Spec.Containers[0]
	for name, probe := range map[string]*corev1.Probe{"readiness": container.ReadinessProbe, "liveness": container.LivenessProbe} {
		if probe.Exec == nil || !slices.Equal(probe.Exec.Command, []string{"/mailprobe", "healthcheck"}) {
			t.Errorf("%s: %+v", name, probe)
		}
	}
}

// Go's limit is nine tenths of the container's.
func TestMemoryLimitsFitTogether(t *testing.T) {
	container := read(t, "deployment.yaml").(*appsv1.Deployment).Spec.Template.Spec.Containers[0]
	limit := container.Resources.Limits.Memory().Value()
	for _, v := range container.Env {
		if v.Name == "GOMEMLIMIT" {
			goLimit := resource.MustParse(strings.TrimSuffix(v.Value, "B"))
			if share := float64(goLimit.Value()) / float64(limit); share < 0.85 || share > 0.92 {
				t.Errorf("GOMEMLIMIT is %.2f of the limit", share)
			}
			return
		}
	}
	t.Error("no GOMEMLIMIT")
}

// A replaced pod has to write the same series, or each outage is two alerts.
func TestInstanceOutlivesThePod(t *testing.T) {
	relabelings := read(t, "servicemonitor.yaml").(*monitoringv1.ServiceMonitor).Spec.Endpoints[0].RelabelConfigs
	instance, dropped := "", ""
	for _, r := range relabelings {
		if r.TargetLabel == "instance" {
			instance = *r.Replacement
		}
		if r.Action == "labeldrop" {
			dropped = r.Regex
		}
	}
	if instance == "" || !slices.Contains(strings.Split(dropped, "|"), "pod") {
		t.Errorf("instance %q, dropped labels %q", instance, dropped)
	}
}

// The pod runs without any right that it does not need.
func TestDeploymentIsConfined(t *testing.T) {
	pod := read(t, "deployment.yaml").(*appsv1.Deployment).Spec.Template.Spec
	c := pod.Containers[0].SecurityContext
	switch {
	case *pod.AutomountServiceAccountToken, !*pod.SecurityContext.RunAsNonRoot, *c.AllowPrivilegeEscalation, !*c.ReadOnlyRootFilesystem:
		t.Error("the pod has rights that it does not need")
	case len(c.Capabilities.Drop) != 1 || c.Capabilities.Drop[0] != "ALL" || len(c.Capabilities.Add) != 0:
		t.Errorf("capabilities %+v", c.Capabilities)
	case pod.SecurityContext.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault:
		t.Error("no seccomp profile")
	}
}

// The rules reach the cluster as they were tested, group by group.
func TestPrometheusRuleHoldsEveryGroup(t *testing.T) {
	rules := read(t, "prometheusrule.yaml").(*monitoringv1.PrometheusRule)
	var want []string
	for _, file := range []string{"mailprobe-reasons.yml", "mailprobe-recording.yml", "mailprobe-alerts.yml"} {
		content, err := os.ReadFile(filepath.Join("../../../dashboards/rules", file))
		if err != nil {
			t.Fatal(err)
		}
		var groups monitoringv1.PrometheusRuleSpec
		if err := yaml.UnmarshalStrict(content, &groups); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, g := range groups.Groups {
			want = append(want, string(mustYAML(t, g)))
		}
	}
	for i, g := range rules.Spec.Groups {
		if i >= len(want) || string(mustYAML(t, g)) != want[i] {
			t.Errorf("the group %s is not the one of dashboards/rules", g.Name)
		}
	}
	if len(rules.Spec.Groups) != len(want) {
		t.Errorf("%d groups, want %d", len(rules.Spec.Groups), len(want))
	}
}

func mustYAML(t *testing.T, v any) []byte {
	t.Helper()
	b, err := yaml.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestDashboardsReachTheClusterUnchanged(t *testing.T) {
	found := 0
	for _, manifest := range readAll(t, "dashboards.yaml") {
		boards := manifest.(*corev1.ConfigMap)
		if boards.Labels["grafana_dashboard"] != "1" {
			t.Error("Grafana's sidecar does not find the ConfigMap " + boards.Name)
		}
		for name, got := range boards.Data {
			want, err := os.ReadFile(filepath.Join("../../../dashboards", name))
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("%s differs from the board", name)
			}
			found++
		}
	}
	if found != 2 {
		t.Errorf("%d boards, want 2", found)
	}
}
