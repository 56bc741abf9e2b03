package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// crd returns the template of the CustomResourceDefinition. It is no file in crds/, because Helm
// installs those once and never upgrades them.
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
	fmt.Fprintf(&b, "apiVersion: %s\nkind: %s\n", m.APIVersion, m.Kind)
	fmt.Fprintf(&b, "metadata:\n  name: %s\n", m.Metadata.Name)
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

// role returns the function that writes the template of a role of Sluice's own, which is rendered
// on a condition. It is called after the release.
func role(condition string) func(*manifest) (string, error) {
	return roleCalled(fullname, condition)
}

// sharedRole is role for one that others bind. Its name is the same in every cluster, so that what
// they write needs to know nothing of the release.
func sharedRole(condition string) func(*manifest) (string, error) {
	return roleCalled(func(suffix string) string { return "sluice" + suffix }, condition)
}

func roleCalled(name func(suffix string) string, condition string) func(*manifest) (string, error) {
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
		fmt.Fprintf(&b, "  name: %s\n", name(suffix))
		if m.Metadata.Namespace != "" {
			b.WriteString("  namespace: {{ .Release.Namespace | quote }}\n")
		}
		return b.String() + labels + rules + "{{- end }}\n", nil
	}
}

// fullname returns the chart's name for an object, in quotes: a name such as "no" needs them.
func fullname(suffix string) string {
	if suffix == "" {
		return `{{ include "sluice.fullname" . | quote }}`
	}
	return `"{{ include "sluice.fullname" . }}` + suffix + `"`
}

const aggregate = "rbac.authorization.k8s.io/aggregate-to-"

// roleLabels returns the chart's own labels, and the one that makes the role a part of "view". A
// role that would be a part of "edit" or "admin" is an error: those who may change limits are
// named.
func roleLabels(m *manifest) (string, error) {
	var text strings.Builder
	text.WriteString("  labels:\n    {{- include \"sluice.labels\" . | nindent 4 }}\n")
	for _, key := range slices.Sorted(maps.Keys(m.Metadata.Labels)) {
		if key != aggregate+"view" {
			return "", fmt.Errorf("has the label %s; only %sview is known here", key, aggregate)
		}
		text.WriteString("    {{- if .Values.rbac.aggregateToView }}\n")
		fmt.Fprintf(&text, "    %s: %q\n    {{- end }}\n", key, m.Metadata.Labels[key])
	}
	return text.String(), nil
}
