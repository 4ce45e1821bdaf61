// Command generate writes the files of dashboards/, deploy/ and docs/ that are made
// from others: the Grafana boards, the rule files of the alerts and of the failure
// reasons, the copies of boards and rules for Kubernetes, the Alertmanager
// configuration of the Compose demo, and the table of docs/alerts.md. make generate
// runs it.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	if err := run("."); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

// run writes every file below dir, which is dashboards/.
func run(dir string) error {
	files, err := generated(dir)
	if err != nil {
		return err
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// generated returns the content of every generated file by its name relative to
// dir. It reads the files that are written by hand.
func generated(dir string) (map[string][]byte, error) {
	files := map[string][]byte{
		"rules/mailprobe-reasons.yml": reasonRules(),
		"rules/mailprobe-alerts.yml":  alertRules(),
	}
	for _, board := range []dashboard{overview(), oneBoard()} {
		content, err := encode(board)
		if err != nil {
			return nil, err
		}
		files[board.UID+".json"] = content
	}
	for _, add := range []func(string, map[string][]byte) error{addKubernetes, addCompose, addRunbook} {
		if err := add(dir, files); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// encode writes a board as Grafana exports one: indented by two spaces, < and > not escaped.
func encode(board dashboard) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(board); err != nil {
		return nil, fmt.Errorf("%s: %w", board.UID, err)
	}
	return b.Bytes(), nil
}
