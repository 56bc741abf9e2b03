package main

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"
)

const examples = "../../examples/redis/"

// The examples of the shared store are values that the chart takes, and their pods are restricted.
func TestRedisExamplesRender(t *testing.T) {
	for _, file := range []string{"sluice-values.yaml", "sluice-sentinel-values.yaml"} {
		pods := podSpecs(t, render(t, "--values", examples+file))
		if len(pods) != 2 || !strings.HasPrefix(pods[0].name, "Deployment ") {
			t.Errorf("%s: got %v, want a Deployment and the test's pod", file, pods)
		}
		for _, pod := range pods {
			if got := violations(t, pod); len(got) != 0 {
				t.Errorf("%s: %s is not restricted: %s", file, pod.name, strings.Join(got, "; "))
			}
		}
	}
}

// The user of Sluice has the same rights in both files. Those of the ACL file are tried on a real
// server, by the tests of limiter/redis.
func TestRedisExamplesGiveTheSameRights(t *testing.T) {
	var values struct {
		Auth struct {
			ACLUsers map[string]struct {
				Permissions string `json:"permissions"`
			} `json:"aclUsers"`
		} `json:"auth"`
	}
	text, err := os.ReadFile(examples + "valkey-values.yaml")
	if err == nil {
		err = yaml.Unmarshal(text, &values)
	}
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Fields(values.Auth.ACLUsers["sluice"].Permissions)

	acl, err := os.ReadFile(examples + "users.acl")
	if err != nil {
		t.Fatal(err)
	}
	_, line, _ := strings.Cut(string(acl), "\nuser sluice on ")
	line, _, _ = strings.Cut(line, "\n")
	_, rights, _ := strings.Cut(line, " ") // without the password
	// What Redis before 7.2 does not know is only in the values of Valkey.
	want := append(strings.Fields(rights), "+client|setinfo", "+waitaof")
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("users.acl (-) and valkey-values.yaml (+) differ:\n%s", diff)
	}
}

// The example of a dispatcher has a token as Sluice wants it, and the role that the chart makes.
func TestDispatcherExample(t *testing.T) {
	const dispatcher = "../../examples/dispatcher/"
	var binding rbacv1.RoleBinding
	var deployment appsv1.Deployment
	var account corev1.ServiceAccount
	for file, into := range map[string]any{
		"rolebinding.yaml": &binding, "deployment.yaml": &deployment, "serviceaccount.yaml": &account,
	} {
		text, err := os.ReadFile(dispatcher + file)
		if err == nil {
			err = yaml.UnmarshalStrict(text, into)
		}
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
	}
	pod := podSpec{
		"the dispatcher", deployment.Spec.Template.ObjectMeta, deployment.Spec.Template.Spec,
	}
	if got := violations(t, pod); len(got) != 0 {
		t.Errorf("it is not restricted: %s", strings.Join(got, "; "))
	}
	if got := render(t); !strings.Contains(string(got), "\n  name: "+binding.RoleRef.Name+"\n") {
		t.Errorf("the chart makes no ClusterRole %s", binding.RoleRef.Name)
	}
	want := rbacv1.Subject{
		Kind: "ServiceAccount", Name: pod.spec.ServiceAccountName, Namespace: deployment.Namespace,
	}
	if account.Name != want.Name || len(binding.Subjects) != 1 || binding.Subjects[0] != want {
		t.Errorf("the RoleBinding is for %v, want %v", binding.Subjects, want)
	}
	var audience any
	for _, volume := range pod.spec.Volumes {
		if volume.Projected != nil {
			audience = volume.Projected.Sources[0].ServiceAccountToken.Audience
		}
	}
	if want := values(t)["auth"].(map[string]any)["audience"]; audience != want {
		t.Errorf("its token is for %v, the chart wants %v", audience, want)
	}
}
