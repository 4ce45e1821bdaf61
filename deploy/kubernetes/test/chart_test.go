package test

import (
	"encoding/json"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	monitoringv1alpha1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1alpha1"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/yaml"
)

const chartFolder = "../../helm/mailprobe"

// object is a manifest as it is written, before it has a type.
type object = map[string]any

// renderAs renders the chart with some values for a release, as Helm does: it checks the
// schema, uses Helm's engine and is strict. Objects are by kind and name.
func renderAs(release, values string) (map[string]object, error) {
	chart, err := loader.LoadDir(chartFolder)
	if err != nil {
		return nil, err
	}
	given, err := chartutil.ReadValues([]byte(values))
	if err != nil {
		return nil, err
	}
	all, err := chartutil.ToRenderValues(chart, given,
		chartutil.ReleaseOptions{Name: release, Namespace: "monitoring", IsInstall: true}, chartutil.DefaultCapabilities)
	if err != nil {
		return nil, err
	}
	files, err := engine.Engine{Strict: true}.Render(chart, all)
	if err != nil {
		return nil, err
	}
	objects := map[string]object{}
	for name, text := range files {
		if strings.HasSuffix(name, ".yaml") {
			if err := addAll(objects, name, text); err != nil {
				return nil, err
			}
		}
	}
	return objects, nil
}

// render is renderAs for the release mailprobe. It fails the test on an error, and if an
// object does not fit its type.
func render(t *testing.T, values string) map[string]object {
	t.Helper()
	objects, err := renderAs("mailprobe", values)
	if err != nil {
		t.Fatal(err)
	}
	for name, o := range objects {
		if _, err := typed([]byte(mustYAML(t, o))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	return objects
}

// get returns an object of the chart with its type.
func get[T any](t *testing.T, objects map[string]object, name string) T {
	t.Helper()
	o, ok := objects[name]
	if !ok {
		t.Fatalf("no %s among %v", name, slices.Sorted(maps.Keys(objects)))
	}
	decoded, err := typed(mustYAML(t, o))
	if err != nil {
		t.Fatal(err)
	}
	return decoded.(T)
}

// chartLabels are the labels that Helm's conventions ask for, and plain manifests
// do not have.
var chartLabels = []string{"app.kubernetes.io/instance", "app.kubernetes.io/version", "app.kubernetes.io/managed-by", "helm.sh/chart"}

// withoutChartLabels removes them from all labels of an object.
func withoutChartLabels(value any) {
	switch v := value.(type) {
	case object:
		for _, label := range chartLabels {
			delete(v, label)
		}
		for _, inner := range v {
			withoutChartLabels(inner)
		}
	case []any:
		for _, inner := range v {
			withoutChartLabels(inner)
		}
	}
}

// manifests are the objects of deploy/kubernetes.
func manifests(t *testing.T) map[string]object {
	t.Helper()
	objects := map[string]object{}
	for _, file := range manifestFiles(t) {
		content, err := os.ReadFile("../" + file)
		if err != nil {
			t.Fatal(err)
		}
		if err := addAll(objects, file, string(content)); err != nil {
			t.Fatal(err)
		}
	}
	return objects
}

func TestChartDefaultsAreTheManifests(t *testing.T) {
	want, got := manifests(t), render(t, "")
	delete(want, "ScrapeConfig/mailprobe") // the alternative, which the kustomization leaves out too
	for _, o := range got {
		withoutChartLabels(o)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the chart differs from the manifests (-manifests +chart):\n%s", diff)
	}
}

func TestChartScrapeConfigIsTheManifest(t *testing.T) {
	got := render(t, "scrapeConfig: {enabled: true}")
	withoutChartLabels(got["ScrapeConfig/mailprobe"])
	if diff := cmp.Diff(manifests(t)["ScrapeConfig/mailprobe"], got["ScrapeConfig/mailprobe"]); diff != "" {
		t.Errorf("-manifest +chart:\n%s", diff)
	}
	monitor := get[*monitoringv1.ServiceMonitor](t, got, "ServiceMonitor/mailprobe")
	if !slices.Equal(monitor.Spec.Endpoints[0].Params["probe"], []string{"false"}) {
		t.Error("the ServiceMonitor has the results too")
	}
}

func TestChartShardsAreAStatefulSet(t *testing.T) {
	got := render(t, "shards: 3\nscrapeConfig: {enabled: true}\npersistence: {enabled: true}")
	if got["Deployment/mailprobe"] != nil || got["PersistentVolumeClaim/mailprobe"] != nil {
		t.Error("there is a Deployment or its claim too")
	}
	set := get[*appsv1.StatefulSet](t, got, "StatefulSet/mailprobe").Spec
	names := get[*corev1.Service](t, got, "Service/"+set.ServiceName)
	if *set.Replicas != 3 || len(set.VolumeClaimTemplates) != 1 || names.Spec.ClusterIP != "None" {
		t.Errorf("%d replicas, %d claims, cluster IP %q", *set.Replicas, len(set.VolumeClaimTemplates), names.Spec.ClusterIP)
	}
	container := set.Template.Spec.Containers[0]
	if !slices.Contains(container.Args, "--shard=ordinal/3") {
		t.Errorf("arguments %q", container.Args)
	}
	for _, mount := range container.VolumeMounts {
		there := func(name string) bool { return name == mount.Name }
		volumes := slices.ContainsFunc(set.Template.Spec.Volumes, func(v corev1.Volume) bool { return there(v.Name) })
		claims := slices.ContainsFunc(set.VolumeClaimTemplates, func(c corev1.PersistentVolumeClaim) bool { return there(c.Name) })
		if volumes == claims {
			t.Errorf("the mount %s has no volume, or two", mount.Name)
		}
	}
	found := get[*monitoringv1alpha1.ScrapeConfig](t, got, "ScrapeConfig/mailprobe").Spec.HTTPSDConfigs
	if len(found) != 3 || found[2].URL != "http://mailprobe-2.mailprobe-shards.monitoring.svc:10925/sd" {
		t.Errorf("discovered: %+v", found)
	}
	monitor := get[*monitoringv1.ServiceMonitor](t, got, "ServiceMonitor/mailprobe").Spec
	if instance := *monitor.Endpoints[0].RelabelConfigs[0].Replacement; instance != "$1.mailprobe-shards.monitoring.svc:10925" {
		t.Errorf("all shards are the instance %s", instance)
	}
	for name, value := range monitor.Selector.MatchLabels {
		if names.Labels[name] != value {
			return
		}
	}
	t.Error("the ServiceMonitor finds each pod twice: through both Services")
}

func TestChartProtectsItsPort(t *testing.T) {
	got := render(t, `
web:
  config: {basic_auth_users: {prometheus: $2y$10$hash}}
serviceMonitor:
  endpoint: {basicAuth: {username: {name: scrape, key: user}, password: {name: scrape, key: password}}}
scrapeConfig:
  enabled: true
  access: {basicAuth: {username: {name: scrape, key: user}, password: {name: scrape, key: password}}}
networkPolicy:
  enabled: true
  from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: monitoring}}}]
`)
	pod := get[*appsv1.Deployment](t, got, "Deployment/mailprobe").Spec.Template.Spec
	if !slices.Contains(pod.Containers[0].Args, "--web.config.file=/etc/mailprobe-web/web.yml") {
		t.Errorf("arguments %q", pod.Containers[0].Args)
	}
	if web := get[*corev1.Secret](t, got, "Secret/mailprobe-web"); !strings.Contains(web.StringData["web.yml"], "prometheus: $2y$10$hash") {
		t.Errorf("web.yml: %q", web.StringData)
	}
	if get[*monitoringv1.ServiceMonitor](t, got, "ServiceMonitor/mailprobe").Spec.Endpoints[0].BasicAuth == nil {
		t.Error("Prometheus has no credentials for /metrics")
	}
	scrape := get[*monitoringv1alpha1.ScrapeConfig](t, got, "ScrapeConfig/mailprobe").Spec
	if scrape.BasicAuth == nil || scrape.HTTPSDConfigs[0].BasicAuth == nil {
		t.Error("Prometheus has no credentials for /probe or for /sd")
	}
	policy := get[*networkingv1.NetworkPolicy](t, got, "NetworkPolicy/mailprobe").Spec
	if len(policy.Ingress) != 1 || len(policy.Ingress[0].From) != 1 || policy.Ingress[0].Ports[0].Port.StrVal != "metrics" || len(policy.Egress) != 2 {
		t.Errorf("policy: %+v", policy)
	}
}

func TestChartValuesReachTheirPlaces(t *testing.T) {
	got := render(t, `
fullnameOverride: post
image: {repository: registry.example.org/mailprobe, tag: "", pullPolicy: Always}
imagePullSecrets: [registry]
secret: {existing: mine}
existingConfigMap: ours
persistence: {enabled: true, existingClaim: kept}
extraArgs: [--log.format=json]
extraEnv: [{name: TZ, value: UTC}]
extraVolumes: [{name: ca, secret: {secretName: authority}}]
extraVolumeMounts: [{name: ca, mountPath: /etc/authority}]
resources: {limits: {memory: 2Gi}}
nodeSelector: {disk: ssd}
podAnnotations: {note: here}
priorityClassName: high
serviceMonitor: {enabled: false}
podMonitor: {enabled: true, labels: {release: stack}}
prometheusRule: {labels: {release: stack}}
dashboards: {enabled: false}
`)
	text := string(mustYAML(t, got))
	for _, want := range []string{"registry.example.org/mailprobe:0.2.0", "imagePullPolicy: Always", "name: registry", "secretName: mine",
		"name: ours", "claimName: kept", "--log.format=json", "value: UTC", "secretName: authority", "mountPath: /etc/authority",
		"value: 1843MiB", "disk: ssd", "note: here", "priorityClassName: high"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q", want)
		}
	}
	for _, name := range []string{"Secret/post", "ConfigMap/post", "PersistentVolumeClaim/post", "ServiceMonitor/post", "ConfigMap/post-overview"} {
		if got[name] != nil {
			t.Errorf("%s is there", name)
		}
	}
	for _, name := range []string{"PodMonitor/post", "PrometheusRule/post"} {
		if labels := got[name]["metadata"].(object)["labels"].(object); labels["release"] != "stack" {
			t.Errorf("%s has the labels %v", name, labels)
		}
	}
}

// Two releases in one namespace have no object of the same name, and select no pods of the
// other one.
func TestChartReleasesStayApart(t *testing.T) {
	one, err := renderAs("east", "")
	if err != nil {
		t.Fatal(err)
	}
	two, err := renderAs("west", "")
	if err != nil {
		t.Fatal(err)
	}
	for name := range one {
		if two[name] != nil {
			t.Errorf("both have %s", name)
		}
	}
	service := get[*corev1.Service](t, one, "Service/east-mailprobe")
	pod := get[*appsv1.Deployment](t, two, "Deployment/west-mailprobe").Spec.Template
	for label, value := range service.Spec.Selector {
		if pod.Labels[label] != value {
			return
		}
	}
	t.Error("the Service of one release selects the pod of the other")
}

func TestChartRefusesWrongValues(t *testing.T) {
	for values, want := range map[string]string{
		"shard: 3":                            "shard",
		"shards: 0":                           "shards",
		"shards: three":                       "shards",
		"image: {tga: 1}":                     "tga",
		"config: [a]":                         "config",
		"goMemoryLimit: 230M":                 "goMemoryLimit",
		"podMonitor: {enabled: true}":         "scraped twice",
		"resources: {limits: {memory: 256M}}": "set goMemoryLimit",
	} {
		if _, err := renderAs("mailprobe", values); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error with %q", values, err, want)
		}
	}
}

// A configuration may be given as a map, which Helm merges.
func TestChartTakesConfigurationAsMap(t *testing.T) {
	got := render(t, "config: {connections: [{name: a, protocol: imap, host: mail.example.org}]}")
	text := get[*corev1.ConfigMap](t, got, "ConfigMap/mailprobe").Data["config.yml"]
	var config struct{ Connections []struct{ Name string } }
	if err := yaml.Unmarshal([]byte(text), &config); err != nil || len(config.Connections) != 1 || config.Connections[0].Name != "a" {
		t.Errorf("%v\n%s", err, text)
	}
}

// The values in docs/running.md make the objects that the page describes.
func TestChartTakesTheValuesOfTheDocuments(t *testing.T) {
	page, err := os.ReadFile("../../../docs/running.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(page), "```yaml\n# my-values.yaml\n")
	values, _, closed := strings.Cut(rest, "```\n")
	if !found || !closed {
		t.Fatal("docs/running.md shows no values")
	}
	got := render(t, values)
	get[*appsv1.StatefulSet](t, got, "StatefulSet/mailprobe")
	get[*networkingv1.NetworkPolicy](t, got, "NetworkPolicy/mailprobe")
	if got["Secret/mailprobe"] != nil {
		t.Error("there is a Secret besides the existing one")
	}
}

// Every value is explained in the schema, and every explained one has a default.
func TestChartValuesAreDocumented(t *testing.T) {
	var schema struct{ Properties map[string]json.RawMessage }
	decode(t, chartFolder+"/values.schema.json", &schema)
	var values map[string]any
	decode(t, chartFolder+"/values.yaml", &values)
	delete(schema.Properties, "global")
	wantDocumented(t, "", schema.Properties, values)
}

func wantDocumented(t *testing.T, path string, properties map[string]json.RawMessage, values map[string]any) {
	t.Helper()
	if got, want := slices.Sorted(maps.Keys(values)), slices.Sorted(maps.Keys(properties)); !slices.Equal(got, want) {
		t.Errorf("%s: values.yaml has %q, its schema %q", path, got, want)
	}
	for name, raw := range properties {
		var property struct {
			Description string
			Properties  map[string]json.RawMessage
		}
		if err := json.Unmarshal(raw, &property); err != nil {
			t.Fatal(err)
		}
		if inner, ok := values[name].(map[string]any); ok && property.Properties != nil {
			wantDocumented(t, path+"."+name, property.Properties, inner)
		} else if property.Description == "" {
			t.Errorf("%s.%s has no description", path, name)
		}
	}
}

func decode(t *testing.T, file string, into any) {
	t.Helper()
	content, err := os.ReadFile(file)
	if err == nil {
		err = yaml.Unmarshal(content, into)
	}
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}
