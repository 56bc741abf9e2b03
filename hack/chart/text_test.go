package main

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"
)

// What Kubernetes wants as text is text, though YAML would read these names as booleans, numbers
// and dates.
func TestTextStaysText(t *testing.T) {
	journal := filepath.Join(chart, "ci", "awkward-values.yaml")
	redis := filepath.Join(chart, "ci", "awkward-redis-values.yaml")
	for _, helm := range []string{"v3", "v4"} {
		for _, namespace := range []string{"12345", "1e3", "no", "0x1f", "2026-11-25"} {
			t.Run(helm+" "+namespace, func(t *testing.T) {
				t.Parallel()
				kinds := map[string]bool{}
				for _, values := range []string{journal, redis} {
					out, err := helmTemplate(t, helm, namespace, "1e3", "--values", values)
					if err != nil {
						t.Fatal(err)
					}
					for document := range bytes.SplitSeq(out, []byte("\n---\n")) {
						kinds[isTyped(t, document, namespace)] = true
					}
				}
				for _, kind := range []string{
					"Certificate", "ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition",
					"Deployment", "HorizontalPodAutoscaler", "MailAccount", "NetworkPolicy",
					"PersistentVolumeClaim", "Pod", "PodDisruptionBudget", "Role", "RoleBinding",
					"Secret", "Service", "ServiceAccount", "ServiceMonitor", "StatefulSet",
				} {
					if !kinds[kind] {
						t.Errorf("no %s was rendered", kind)
					}
				}
			})
		}
	}
}

// isTyped wants every field of an object to have the type that Kubernetes gives it, and returns
// the object's kind.
func isTyped(t *testing.T, document []byte, namespace string) string {
	t.Helper()
	// As kubectl and Helm send it: yaml.Unmarshal would turn a number into text where text is
	// wanted.
	text, err := yaml.YAMLToJSONStrict(document)
	if err != nil {
		t.Fatalf("%v in\n%s", err, document)
	}
	var kind metav1.TypeMeta
	if err := json.Unmarshal(text, &kind); err != nil {
		t.Fatalf("%v in\n%s", err, document)
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	object, err := scheme.Scheme.New(kind.GroupVersionKind())
	if err != nil { // such as a CustomResourceDefinition
		object = &metav1.PartialObjectMetadata{}
	} else {
		decoder.DisallowUnknownFields()
	}
	if err := decoder.Decode(object); err != nil {
		t.Errorf("%s: %v in\n%s", kind.Kind, err, document)
	}
	if got := object.(metav1.Object).GetNamespace(); got != "" && got != namespace {
		t.Errorf("%s is in the namespace %q, want %q", kind.Kind, got, namespace)
	}
	return kind.Kind
}
