package controllers

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-mail/sluice/api/v1alpha1"
)

// objectWith is a MailAccount of a cluster with this spec.
func objectWith(spec string) string {
	return `{"apiVersion":"sluice.dev/v1alpha1","kind":"MailAccount",
		"metadata":{"name":"newsletter","namespace":"marketing","uid":"uid-1","generation":7},
		"spec":` + spec + `,
		"status":{"observedGeneration":7,"conditions":[{"type":"Ready","status":"False",
			"reason":"InvalidSpec","message":"it is odd","observedGeneration":7,
			"lastTransitionTime":"2020-01-02T03:04:05Z"}]}}`
}

// TestAnyAccountIsRead wants every object of the cluster to be read: which one it is and what its
// status says, whatever is in its spec. The problem says what cannot be enforced, and a copy says
// the same.
func TestAnyAccountIsRead(t *testing.T) {
	const (
		below1    = "spec.limits.perMinute: Invalid value: 0"
		isNoInt32 = "spec.limits.perMinute: must be of type int32"
		unknown   = "spec.behavior: Unsupported value"
		isNoWord  = "spec.behavior: must be of type"
	)
	for name, c := range map[string]struct{ spec, problem string }{
		"a valid spec":                {`{"limits":{"perMinute":2}}`, ""},
		"a limit below 1":             {`{"limits":{"perMinute":0}}`, below1},
		"no limits":                   {`{}`, "spec.limits: Required value"},
		"a limit that fits no int32":  {`{"limits":{"perMinute":2147483648}}`, isNoInt32},
		"a limit that is a word":      {`{"limits":{"perMinute":"two"}}`, isNoInt32},
		"a good limit beside an odd":  {`{"limits":{"perHour":3,"perMinute":"two"}}`, isNoInt32},
		"limits that are a list":      {`{"limits":[]}`, "spec.limits: must be of type"},
		"a spec that is a word":       {`"odd"`, "spec: must be of type"},
		"a behavior that is a number": {`{"limits":{},"behavior":7}`, isNoWord},
		"an unknown behavior":         {`{"limits":{},"behavior":"Drop"}`, unknown},
	} {
		t.Run(name, func(t *testing.T) {
			var read mailAccount
			if err := json.Unmarshal([]byte(objectWith(c.spec)), &read); err != nil {
				t.Fatal(err)
			}
			copied, ok := read.DeepCopyObject().(*mailAccount)
			if !ok {
				t.Fatal("the copy is of another type")
			}
			original := &mailAccountList{Items: []mailAccount{read}}
			list, ok := original.DeepCopyObject().(*mailAccountList)
			if !ok || len(list.Items) != 1 {
				t.Fatalf("the copy of a list is %+v", list)
			}
			wantRead(t, "the object", &read, c.problem)
			wantRead(t, "its copy", copied, c.problem)
			wantRead(t, "the copy of its list", &list.Items[0], c.problem)
			read.Status.Conditions[0].Message = "changed"
			wantRead(t, "its copy, later", copied, c.problem)
			wantRead(t, "the copy of its list, later", &list.Items[0], c.problem)
		})
	}
}

// wantRead wants the object of objectWith, with this problem.
func wantRead(t *testing.T, what string, a *mailAccount, problem string) {
	t.Helper()
	var got string
	switch policy, err := a.desiredPolicy(); {
	case err != nil:
		got = err.Error()
	case policy.Generation != 7:
		t.Errorf("%s: the policy is %+v", what, policy)
	}
	if !strings.HasPrefix(got, problem) || (got == "") != (problem == "") {
		t.Errorf("%s: the problem is %q, want %q", what, got, problem)
	}
	wanted := v1alpha1.MailAccount{
		TypeMeta: metav1.TypeMeta{APIVersion: "sluice.dev/v1alpha1", Kind: "MailAccount"},
		ObjectMeta: metav1.ObjectMeta{
			Name: "newsletter", Namespace: "marketing", UID: "uid-1", Generation: 7,
		},
		Status: v1alpha1.MailAccountStatus{
			ObservedGeneration: new(int64(7)),
			Conditions: []metav1.Condition{{
				Type: "Ready", Status: "False", Reason: "InvalidSpec", Message: "it is odd",
				ObservedGeneration: 7,
				LastTransitionTime: metav1.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC),
			}},
		},
	}
	if a.unreadable == nil {
		wanted.Spec = a.Spec
	}
	if diff := cmp.Diff(wanted, a.MailAccount); diff != "" {
		t.Errorf("%s:\n%s", what, diff)
	}
}

// TestNothingOddIsEnforced wants nothing to be taken over of a spec that cannot be read as a whole.
func TestNothingOddIsEnforced(t *testing.T) {
	var read mailAccount
	odd := objectWith(`{"limits":{"perHour":3,"perDay":"two"}}`)
	if err := json.Unmarshal([]byte(odd), &read); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(v1alpha1.MailAccountSpec{}, read.Spec); diff != "" {
		t.Error(diff)
	}
}

// TestOddStatus wants an object to be read also if its status is not one, and if it is not even
// named to be an error.
func TestOddStatus(t *testing.T) {
	var read mailAccount
	odd := `{"metadata":{"name":"odd"},"spec":{"limits":{}},"status":"odd"}`
	if err := json.Unmarshal([]byte(odd), &read); err != nil {
		t.Fatal(err)
	}
	_, err := read.desiredPolicy()
	if read.Name != "odd" || err == nil ||
		!strings.HasPrefix(err.Error(), "status: must be of type") {
		t.Errorf("it is %+v, %v", read.ObjectMeta, err)
	}
	unnamed := map[string]string{"no metadata": `{"metadata":"odd"}`, "no object": `[]`}
	for name, body := range unnamed {
		if err := json.Unmarshal([]byte(body), &mailAccount{}); err == nil {
			t.Errorf("%s: it was read", name)
		}
	}
}
