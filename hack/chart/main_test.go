package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const viewer = `# A comment on the file.
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: sluice-viewer
  labels:
    rbac.authorization.k8s.io/aggregate-to-view: "true"
rules: # a comment on the rules
- apiGroups: [sluice.dev]
  resources: [mailaccounts]
  verbs: [get]
`

func TestRoleIsCopiedToTheLetter(t *testing.T) {
	got, err := write(role(".Values.rbac.create"), viewer)
	if err != nil {
		t.Fatal(err)
	}
	want := `{{- if .Values.rbac.create }}
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: "{{ include "sluice.fullname" . }}-viewer"
  labels:
    {{- include "sluice.labels" . | nindent 4 }}
    {{- if .Values.rbac.aggregateToView }}
    rbac.authorization.k8s.io/aggregate-to-view: "true"
    {{- end }}
rules: # a comment on the rules
- apiGroups: [sluice.dev]
  resources: [mailaccounts]
  verbs: [get]
{{- end }}
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestARoleThatOthersBindHasOneName(t *testing.T) {
	got, err := write(sharedRole("true"), viewer)
	if err != nil {
		t.Fatal(err)
	}
	if want := "\n  name: sluice-viewer\n"; !strings.Contains(got, want) {
		t.Errorf("got\n%s\nwithout%s", got, want)
	}
}

func TestWhatCannotBeCopiedIsRefused(t *testing.T) {
	for why, test := range map[string]struct {
		old, now string
		want     string // in the error
	}{
		"a role that edit would contain": {"to-view", "to-edit", "aggregate-to-edit"},
		"a role of another program": {
			"sluice-viewer", "viewer", "does not start with sluice",
		},
		"a rule made of other roles": {
			"rules:", "aggregationRule: {}\nrules:", `"aggregationRule"`,
		},
		"a role without rules":                {"rules:", "rule:", `"rule"`},
		"two documents, of which one is lost": {"kind:", "a: 1\n---\nkind:", "several documents"},
	} {
		t.Run(why, func(t *testing.T) {
			got, err := write(role("true"), strings.Replace(viewer, test.old, test.now, 1))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v and\n%s\nwant an error with %s", err, got, test.want)
			}
		})
	}
}

func TestBracesAreNoTemplates(t *testing.T) {
	source := "kind: CustomResourceDefinition\nmetadata: {name: a}\n" +
		"spec:\n  description: say {{ .Values }}\n"
	got, err := write(crd, source)
	if err != nil {
		t.Fatal(err)
	}
	if want := "  description: say {{ `{{` }} .Values }}\n"; !strings.Contains(got, want) {
		t.Errorf("got\n%s\nwithout\n%s", got, want)
	}
}

// What is committed is what config/ says now.
func TestTemplatesAreCurrent(t *testing.T) {
	for _, template := range templates {
		want, err := template.render("../..")
		if err != nil {
			t.Fatalf("%s: %v", template.from, err)
		}
		got, err := os.ReadFile(filepath.Join(chart, "templates", template.to))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, string(got)); diff != "" {
			t.Errorf(
				"%s is not what %s says; run make generate:\n%s", template.to, template.from, diff,
			)
		}
	}
}

func write(writer func(*manifest) (string, error), source string) (string, error) {
	m, err := parse(source)
	if err != nil {
		return "", err
	}
	return writer(m)
}
