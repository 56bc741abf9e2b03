package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// crd is the template of the CustomResourceDefinition. It is a template rather than a file in
// crds/, which Helm would install once and never upgrade.
func crd(m *manifest) (string, error) {
	spec, err := m.only("spec")
	if err != nil {
		return "", err
	}
	if m.Kind != "CustomResourceDefinition" {
		return "", fmt.Errorf("is a %s", m.Kind)
	}
	var b strings.Builder
	b.WriteString("{{- if .Values.crds.enabled }}\n")
	fmt.Fprintf(
		&b, "apiVersion: %s\nkind: %s\nmetadata:\n  name: %s\n", m.APIVersion, m.Kind,
		m.Metadata.Name,
	)
	b.WriteString("  annotations:\n")
	for _, key := range slices.Sorted(maps.Keys(m.Metadata.Annotations)) {
		fmt.Fprintf(&b, "    %s: %q\n", key, escape(m.Metadata.Annotations[key]))
	}
	b.WriteString(`    {{- if .Values.crds.keep }}
    helm.sh/resource-policy: keep
    {{- end }}
    {{- with .Values.crds.annotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  labels:
    {{- include "sluice.labels" . | nindent 4 }}
`)
	return b.String() + spec + "{{- end }}\n", nil
}

// role returns the writer of a role's template, which is rendered on a condition.
func role(condition string) func(*manifest) (string, error) {
	return func(m *manifest) (string, error) {
		rules, err := m.only("rules")
		if err != nil {
			return "", err
		}
		suffix, ok := strings.CutPrefix(m.Metadata.Name, "sluice")
		if !ok {
			return "", fmt.Errorf("is called %s, which does not start with sluice", m.Metadata.Name)
		}
		labels, err := roleLabels(m)
		if err != nil {
			return "", err
		}
		var b strings.Builder
		fmt.Fprintf(&b, "{{- if %s }}\n", condition)
		fmt.Fprintf(&b, "apiVersion: %s\nkind: %s\nmetadata:\n", m.APIVersion, m.Kind)
		fmt.Fprintf(&b, "  name: %s\n", fullname(suffix))
		if m.Metadata.Namespace != "" {
			b.WriteString("  namespace: {{ .Release.Namespace | quote }}\n")
		}
		return b.String() + labels + rules + "{{- end }}\n", nil
	}
}

// fullname is what the chart calls an object. In quotes, as a name such as "no" would be no text
// without.
func fullname(suffix string) string {
	if suffix == "" {
		return `{{ include "sluice.fullname" . | quote }}`
	}
	return `"{{ include "sluice.fullname" . }}` + suffix + `"`
}

const aggregate = "rbac.authorization.k8s.io/aggregate-to-"

// roleLabels are the chart's own labels, and those that make a part of "view" of the role. It
// refuses a role that would be a part of "edit" or "admin": whoever may change limits is named,
// never implied.
func roleLabels(m *manifest) (string, error) {
	var text strings.Builder
	text.WriteString("  labels:\n    {{- include \"sluice.labels\" . | nindent 4 }}\n")
	for _, key := range slices.Sorted(maps.Keys(m.Metadata.Labels)) {
		if key != aggregate+"view" {
			return "", fmt.Errorf("has the label %s; only %sview is known here", key, aggregate)
		}
		fmt.Fprintf(
			&text, "    {{- if .Values.rbac.aggregateToView }}\n    %s: %q\n    {{- end }}\n", key,
			m.Metadata.Labels[key],
		)
	}
	return text.String(), nil
}
