package promtest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/common/model"

	"mailprobe/internal/subprocess"
)

// client asks a Prometheus of ours; everything is on loopback.
var client = http.Client{Timeout: 30 * time.Second}

// Prometheus is a running server.
type Prometheus struct {
	Process *subprocess.Process
	URL     string
}

// StartPrometheus runs Debian's Prometheus with a configuration file.
func StartPrometheus(t *testing.T, config string, args ...string) *Prometheus {
	t.Helper()
	Need(t, "prometheus")
	address := subprocess.FreeAddress(t)
	base := "http://" + address
	args = append([]string{"--config.file=" + config, "--web.listen-address=" + address, "--log.level=warn",
		"--storage.tsdb.path=" + filepath.Join(t.TempDir(), "data")}, args...)
	return &Prometheus{Process: Start(t, base+"/-/ready", "prometheus", args...), URL: base}
}

// StartAlertmanager runs Debian's Alertmanager, alone, with a configuration file
// and returns its address.
func StartAlertmanager(t *testing.T, config string) string {
	t.Helper()
	Need(t, "prometheus-alertmanager")
	address := subprocess.FreeAddress(t)
	Start(t, "http://"+address+"/-/ready", "prometheus-alertmanager", "--config.file="+config, "--web.listen-address="+address,
		"--cluster.listen-address=", "--log.level=warn", "--storage.path="+filepath.Join(t.TempDir(), "data"))
	return address
}

// Query returns the result of an instant query, now.
func (p *Prometheus) Query(expr string) (model.Vector, error) {
	response, err := client.PostForm(p.URL+"/api/v1/query", url.Values{"query": {expr}})
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	var body struct {
		Status, Error string
		Data          struct {
			ResultType string
			Result     json.RawMessage
		}
	}
	if err := json.NewDecoder(response.Body).Decode(&body); err != nil {
		return nil, err
	}
	if body.Status != "success" {
		return nil, fmt.Errorf("query: %s", body.Error)
	}
	if body.Data.ResultType != "vector" {
		return nil, fmt.Errorf("query: the result is a %s, not a vector", body.Data.ResultType)
	}
	var vector model.Vector
	return vector, json.Unmarshal(body.Data.Result, &vector)
}

// ScrapeIntervals tells how often each target is scraped, by its instance.
func (p *Prometheus) ScrapeIntervals(t *testing.T) map[string]string {
	t.Helper()
	response, err := client.Get(p.URL + "/api/v1/targets?state=active")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	var body struct {
		Data struct {
			ActiveTargets []struct {
				Labels         map[string]string
				ScrapeInterval string
			}
		}
	}
	if err := json.NewDecoder(response.Body).Decode(&body); err != nil {
		t.Fatal(err)
	}
	intervals := map[string]string{}
	for _, target := range body.Data.ActiveTargets {
		intervals[target.Labels["instance"]] = target.ScrapeInterval
	}
	return intervals
}

// Wait asks until the result of a query is not empty.
func (p *Prometheus) Wait(t *testing.T, expr string) model.Vector {
	t.Helper()
	var vector model.Vector
	Eventually(t, expr+" has a result", func() bool {
		var err error
		if vector, err = p.Query(expr); err != nil {
			t.Fatalf("%s: %v", expr, err)
		}
		return len(vector) > 0
	})
	return vector
}
