package main

import (
	"os"
	"strconv"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/yaml"
)

// config/ has no arithmetic, so its GOMEMLIMIT could be forgotten when its limit changes.
func TestGoKnowsTheMemoryLimitInConfig(t *testing.T) {
	text, err := os.ReadFile("../../config/manager/statefulset.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var set appsv1.StatefulSet
	if err := yaml.UnmarshalStrict(text, &set); err != nil {
		t.Fatal(err)
	}
	container := set.Spec.Template.Spec.Containers[0]
	want := strconv.FormatInt(container.Resources.Limits.Memory().Value()*9/10, 10)
	for _, variable := range container.Env {
		if variable.Name == "GOMEMLIMIT" && variable.Value == want {
			return
		}
	}
	t.Errorf("got %v, want GOMEMLIMIT=%s, nine tenths of the limit", container.Env, want)
}
