// Command chart writes those templates of the Helm chart that are copies of config/: the
// CustomResourceDefinition and the roles.
//
//	go run ./hack/chart ROOT
//
// ROOT is the repository, or a copy of it. The command reads ROOT/config and writes
// ROOT/charts/sluice/templates.
//
//   - main.go: which files become which templates.
//   - manifest.go: reads a manifest, and keeps its text.
//   - write.go: the text of the templates.
package main

import (
	"fmt"
	"os"
	"path/filepath"
)

// templates are the files to generate.
var templates = []template{
	{from: "config/crd/sluice.dev_mailaccounts.yaml", to: "crd-mailaccounts.yaml", write: crd},
	{from: "config/rbac/role.yaml", to: "clusterrole.yaml", write: role(".Values.rbac.create")},
	{
		from: "config/rbac/leader_election_role.yaml", to: "role-leader-election.yaml",
		write: role("and .Values.rbac.create .Values.leaderElection.enabled"),
	},
	{
		from: "config/rbac/sender_role.yaml", to: "clusterrole-sender.yaml",
		write: sharedRole(".Values.rbac.create"),
	},
	{
		from: "config/rbac/viewer_role.yaml", to: "clusterrole-viewer.yaml",
		write: sharedRole(".Values.rbac.create"),
	},
	{
		from: "config/rbac/editor_role.yaml", to: "clusterrole-editor.yaml",
		write: sharedRole(".Values.rbac.create"),
	},
	{
		from: "config/rbac/metrics_reader_role.yaml", to: "clusterrole-metrics-reader.yaml",
		write: sharedRole(".Values.rbac.create"),
	},
}

type template struct {
	from  string // under the root
	to    string // under charts/sluice/templates
	write func(*manifest) (string, error)
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: chart ROOT")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "chart:", err)
		os.Exit(1)
	}
}

func run(root string) error {
	for _, t := range templates {
		text, err := t.render(root)
		if err != nil {
			return fmt.Errorf("%s: %w", t.from, err)
		}
		to := filepath.Join(root, "charts", "sluice", "templates", t.to)
		if err := os.WriteFile(to, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// render returns a template's text. Its first line tells where it is from, in a comment that Helm
// does not render: a manifest that is switched off must render to nothing.
func (t template) render(root string) (string, error) {
	source, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(t.from)))
	if err != nil {
		return "", err
	}
	m, err := parse(string(source))
	if err != nil {
		return "", err
	}
	text, err := t.write(m)
	if err != nil {
		return "", err
	}
	const origin = "{{- /* Generated from %s by make generate; not to be edited. */}}\n"
	return fmt.Sprintf(origin, t.from) + text, nil
}
