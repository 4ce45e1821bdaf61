package config

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var yamlBlock = regexp.MustCompile("(?s)```ya?ml\n(.*?)```")

// TestConfigurationsInDocsLoad loads every configuration that a reader may
// copy from the documentation. Their secret files need not exist.
func TestConfigurationsInDocsLoad(t *testing.T) {
	files, err := filepath.Glob("../docs/*.md")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	if _, err := os.Stat("../README.md"); err == nil {
		files = append(files, "../README.md")
	}
	t.Setenv("CREDENTIALS_DIRECTORY", t.TempDir())
	loaded := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range yamlBlock.FindAllSubmatch(text, -1) {
			content := string(block[1])
			if !strings.Contains("\n"+content, "\nconnections:") {
				continue // of another program
			}
			loaded++
			_, _, err := Load(write(t, content), nil)
			var faults Faults
			if !errors.As(err, &faults) && err != nil {
				t.Errorf("%s: %v in\n%s", file, err, content)
			}
			for _, fault := range faults {
				if !strings.HasSuffix(fault.Text, "no such file or directory") {
					t.Errorf("%s: %v in\n%s", file, fault, content)
				}
			}
		}
	}
	if loaded < 10 {
		t.Errorf("%d configurations found, want some in most pages", loaded)
	}
}
