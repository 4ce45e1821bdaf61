// Package test holds the manifests against the types that the API servers use:
// an unknown or misspelt field is an error here, and silently dropped there.
package test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	monitoringv1alpha1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1alpha1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/yaml"
)

// kinds maps each kind of manifest to a constructor of its type.
var kinds = map[string]func() any{
	"v1/ConfigMap":       func() any { return new(corev1.ConfigMap) },
	"v1/Secret":          func() any { return new(corev1.Secret) },
	"v1/Service":         func() any { return new(corev1.Service) },
	"apps/v1/Deployment": func() any { return new(appsv1.Deployment) },
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

// read decodes a manifest strictly.
func read(t *testing.T, file string) any {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("..", file))
	if err != nil {
		t.Fatal(err)
	}
	var head struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
	}
	if err := yaml.Unmarshal(content, &head); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	make, ok := kinds[head.APIVersion+"/"+head.Kind]
	if !ok {
		t.Fatalf("%s: %s/%s is not a kind that this test knows", file, head.APIVersion, head.Kind)
	}
	object := make()
	if err := yaml.UnmarshalStrict(content, object); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return object
}

func TestManifestsAreStrictlyRight(t *testing.T) {
	files, err := filepath.Glob("../*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile("../kustomization.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var k kustomization
	if err := yaml.UnmarshalStrict(content, &k); err != nil {
		t.Fatalf("kustomization.yaml: %v", err)
	}
	for _, file := range files {
		name := filepath.Base(file)
		if name == "kustomization.yaml" {
			continue
		}
		read(t, name)
		if !strings.Contains(string(content), "- "+name+"\n") {
			t.Errorf("kustomization.yaml does not name %s", name)
		}
	}
	for _, name := range k.Resources {
		if !slices.Contains(files, filepath.Join("..", name)) {
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

// What one manifest calls something the others must call the same.
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
		t.Errorf("not everybody calls the port %q", port)
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
	boards := read(t, "dashboards.yaml").(*corev1.ConfigMap)
	if boards.Labels["grafana_dashboard"] != "1" {
		t.Error("Grafana's sidecar does not find the ConfigMap")
	}
	for name, got := range boards.Data {
		f, err := os.Open(filepath.Join("../../../dashboards", name))
		if err != nil {
			t.Fatal(err)
		}
		want, err := io.ReadAll(f)
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal([]byte(got), want) {
			t.Errorf("%s differs from the board", name)
		}
	}
	if len(boards.Data) != 2 {
		t.Errorf("%d boards, want 2", len(boards.Data))
	}
}
