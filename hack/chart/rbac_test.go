package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// TestRolesAreNarrow holds the roles in config/rbac, which are the chart's, too, to the least they
// need: nothing of everything, nothing of secrets, and nothing that could be used to get more
// rights.
func TestRolesAreNarrow(t *testing.T) {
	files, err := filepath.Glob("../../config/rbac/*role.yaml")
	if err != nil || len(files) < 4 {
		t.Fatalf("found only the roles %v, %v", files, err)
	}
	groups := []string{"sluice.dev", "events.k8s.io", "coordination.k8s.io", ""} // "": ConfigMaps
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(content), 4096)
		for {
			var role rbacv1.ClusterRole // a Role has the same rules
			if err := decoder.Decode(&role); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			for _, rule := range role.Rules {
				for _, group := range rule.APIGroups {
					if !slices.Contains(groups, group) {
						t.Errorf("%s: the group %q is none that Sluice needs", file, group)
					}
				}
				for _, word := range slices.Concat(rule.Verbs, rule.Resources) {
					if slices.Contains(
						[]string{"*", "secrets", "pods", "escalate", "bind", "impersonate"}, word,
					) {
						t.Errorf("%s grants %q", file, word)
					}
				}
				for _, path := range rule.NonResourceURLs {
					if path != "/metrics" || !slices.Equal(rule.Verbs, []string{"get"}) {
						t.Errorf("%s grants the path %s: %v", file, path, rule.Verbs)
					}
				}
				isSender := role.Name == "sluice-sender"
				if slices.Contains(rule.Verbs, "use") != isSender {
					t.Errorf("%s: only the sender may use accounts: %v", file, rule.Verbs)
				}
				if isSender && len(role.Labels) > 0 {
					t.Errorf("%s may be a part of another role: %v", file, role.Labels)
				}
			}
		}
	}
}
