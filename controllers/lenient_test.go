package controllers

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-mail/sluice/api/v1alpha1"
)

// objectWith is a MailAccount of a cluster with this spec.
func objectWith(spec string) string {
	return `{"apiVersion":"sluice.dev/v1alpha1","kind":"MailAccount",
		"metadata":{"name":"newsletter","namespace":"marketing","uid":"uid-1","generation":7,"resourceVersion":"9"},
		"spec":` + spec + `,
		"status":{"observedGeneration":7,"conditions":[{"type":"Ready","status":"False","reason":"InvalidSpec",
			"message":"it is odd","observedGeneration":7,"lastTransitionTime":"2020-01-02T03:04:05Z"}]}}`
}

// TestAnyAccountIsRead wants every object of the cluster to be read: which one it is and what its status says, whatever
// is in its spec. The problem says what cannot be enforced, and a copy says the same.
func TestAnyAccountIsRead(t *testing.T) {
	for name, c := range map[string]struct{ spec, problem string }{
		"a valid spec":                 {`{"limits":{"perMinute":2}}`, ""},
		"a limit below 1":              {`{"limits":{"perMinute":0}}`, "spec.limits.perMinute: Invalid value: 0: must be 1 or more"},
		"no limits":                    {`{}`, "spec.limits: Required value"},
		"a limit that fits no int32":   {`{"limits":{"perMinute":2147483648}}`, "spec.limits.perMinute: must be of type int32"},
		"a limit that is a word":       {`{"limits":{"perMinute":"two"}}`, "spec.limits.perMinute: must be of type int32"},
		"a good limit beside an odd":   {`{"limits":{"perHour":3,"perDay":"two"}}`, "spec.limits.perDay: must be of type int32"},
		"limits that are a list":       {`{"limits":[]}`, "spec.limits: must be of type"},
		"a spec that is a word":        {`"odd"`, "spec: must be of type"},
		"a behavior that is a number":  {`{"limits":{},"behavior":7}`, "spec.behavior: must be of type"},
		"a behavior that nobody knows": {`{"limits":{},"behavior":"Drop"}`, "spec.behavior: Unsupported value"},
	} {
		t.Run(name, func(t *testing.T) {
			var read account
			if err := json.Unmarshal([]byte(objectWith(c.spec)), &read); err != nil {
				t.Fatal(err)
			}
			copied, ok := read.DeepCopyObject().(*account)
			if !ok {
				t.Fatal("the copy is of another type")
			}
			items := (&accountList{ListMeta: metav1.ListMeta{ResourceVersion: "9"}, Items: []account{read}}).DeepCopyObject()
			list, ok := items.(*accountList)
			if !ok || len(list.Items) != 1 || list.ResourceVersion != "9" {
				t.Fatalf("the copy of a list is %+v", items)
			}
			for what, a := range map[string]*account{"the object": &read, "its copy": copied, "the copy of its list": &list.Items[0]} {
				problem := ""
				if err := a.problem(); err != nil {
					problem = err.Error()
				}
				if !strings.HasPrefix(problem, c.problem) || (problem == "") != (c.problem == "") {
					t.Errorf("%s: the problem is %q, want %q", what, problem, c.problem)
				}
				if a.Kind != "MailAccount" || a.Namespace != "marketing" || a.Name != "newsletter" || a.UID != "uid-1" || a.Generation != 7 {
					t.Errorf("%s: it is %+v %+v", what, a.TypeMeta, a.ObjectMeta)
				}
				ready := metav1.Condition{Type: "Ready", Status: "False", Reason: "InvalidSpec", Message: "it is odd", ObservedGeneration: 7}
				wanted := v1alpha1.MailAccountStatus{ObservedGeneration: new(int64(7)), Conditions: []metav1.Condition{ready}}
				if diff := cmp.Diff(wanted, a.Status, cmpopts.IgnoreTypes(metav1.Time{})); diff != "" {
					t.Fatalf("%s: the status:\n%s", what, diff)
				}
				if a.Status.Conditions[0].LastTransitionTime.IsZero() {
					t.Errorf("%s: the time of the transition is lost", what)
				}
			}
			read.Status.Conditions[0].Message = "changed"
			if copied.Status.Conditions[0].Message != "it is odd" || list.Items[0].Status.Conditions[0].Message != "it is odd" {
				t.Error("a copy shares its conditions with the object")
			}
		})
	}
}

// TestNothingOddIsEnforced wants nothing of a spec to be taken over if it cannot be read as a whole.
func TestNothingOddIsEnforced(t *testing.T) {
	var read account
	if err := json.Unmarshal([]byte(objectWith(`{"limits":{"perHour":3,"perDay":"two"}}`)), &read); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(v1alpha1.MailAccountSpec{}, read.Spec); diff != "" {
		t.Error(diff)
	}
}

// TestOddStatus wants an object to be read also if its status is not one, and if it is not even named to be an error.
func TestOddStatus(t *testing.T) {
	var read account
	if err := json.Unmarshal([]byte(`{"metadata":{"name":"odd"},"spec":{"limits":{}},"status":"odd"}`), &read); err != nil {
		t.Fatal(err)
	}
	if err := read.problem(); read.Name != "odd" || err == nil || !strings.HasPrefix(err.Error(), "status: must be of type") {
		t.Errorf("it is %+v, %v", read.ObjectMeta, err)
	}
	for name, body := range map[string]string{"no metadata": `{"metadata":"odd"}`, "no object": `[]`} {
		if err := json.Unmarshal([]byte(body), &account{}); err == nil {
			t.Errorf("%s: it was read", name)
		}
	}
}
