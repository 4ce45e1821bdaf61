package deploy

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// compose is the part of a Compose file that is checked. The tests run no container engine,
// so the file is only parsed; its parts run in TestEndToEnd.
type compose struct {
	Name     string
	Services map[string]struct {
		Image, Build string
		Command      []string
		Volumes      []string
		Ports        []string
		DependsOn    []string `yaml:"depends_on"`
		Environment  map[string]string
		ReadOnly     bool     `yaml:"read_only"`
		CapDrop      []string `yaml:"cap_drop"`
		SecurityOpt  []string `yaml:"security_opt"`
	}
}

func TestComposeFitsTogether(t *testing.T) {
	var c compose
	decoder := yaml.NewDecoder(strings.NewReader(read(t, "compose/compose.yml")))
	decoder.KnownFields(true)
	if err := decoder.Decode(&c); err != nil {
		t.Fatal(err)
	}
	mounted := map[string]string{} // path in a container to path here
	for name, s := range c.Services {
		for _, volume := range s.Volumes {
			parts := strings.Split(volume, ":")
			if len(parts) != 3 || parts[2] != "ro" {
				t.Errorf("%s: %s is not mounted read-only", name, volume)
			}
			if matches, _ := filepath.Glob(filepath.Join("compose", parts[0])); len(matches) != 1 {
				t.Errorf("%s: %s does not exist", name, parts[0])
			}
			mounted[parts[1]] = parts[0]
		}
		for _, port := range s.Ports {
			if !strings.HasPrefix(port, "127.0.0.1:") {
				t.Errorf("%s: %s is open to the network", name, port)
			}
		}
		for _, other := range s.DependsOn {
			if _, ok := c.Services[other]; !ok {
				t.Errorf("%s: depends on %s, which does not exist", name, other)
			}
		}
		if s.Build == "" && (strings.HasSuffix(s.Image, ":latest") || !strings.Contains(s.Image, ":")) {
			t.Errorf("%s: %s is another image each day", name, s.Image)
		}
	}
	if home := c.Services["grafana"].Environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]; mounted[home] == "" {
		t.Errorf("Grafana's first page %s is not mounted", home)
	}
	for _, file := range []string{"compose/prometheus.yml", "compose/grafana/datasources/prometheus.yml"} {
		for _, host := range []string{"mailprobe:", "alertmanager:", "prometheus:"} {
			if i := strings.Index(read(t, file), host+"9"); i >= 0 && c.Services[strings.TrimSuffix(host, ":")].Image == "" {
				t.Errorf("%s: %s is no service", file, host)
			}
		}
	}
}

// Grafana ignores unknown keys in a provisioning file without a message.
func TestGrafanaFindsTheBoards(t *testing.T) {
	var provider struct {
		APIVersion int `yaml:"apiVersion"`
		Providers  []struct {
			Name, Folder, Type string
			AllowUIUpdates     bool `yaml:"allowUiUpdates"`
			Options            struct{ Path string }
		}
	}
	decoder := yaml.NewDecoder(strings.NewReader(read(t, "compose/grafana/dashboards/mailprobe.yml")))
	decoder.KnownFields(true)
	if err := decoder.Decode(&provider); err != nil {
		t.Fatal(err)
	}
	path := provider.Providers[0].Options.Path
	boards, err := filepath.Glob("../dashboards/*.json")
	if err != nil || len(boards) != 2 {
		t.Fatalf("%v, %v", boards, err)
	}
	for _, board := range boards {
		if !json.Valid([]byte(read(t, board))) {
			t.Errorf("%s is no JSON", board)
		}
		if target := path + "/" + filepath.Base(board); !strings.Contains(read(t, "compose/compose.yml"), ":"+target+":ro") {
			t.Errorf("compose.yml does not mount %s", target)
		}
	}
}
