package v1alpha1_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/sluice-mail/sluice/api/v1alpha1"
	"github.com/sluice-mail/sluice/test/controlplane"
)

func TestMain(m *testing.M) { os.Exit(controlplane.Run(m)) }

func samples(t *testing.T, kind string) []string {
	t.Helper()
	files, err := filepath.Glob(
		filepath.Join(controlplane.Root, "config", "samples", kind, "*.yaml"),
	)
	if err != nil || len(files) == 0 {
		t.Fatalf("no %s samples: %v", kind, err)
	}
	return files
}

// read returns a sample as it is, and the text of its first comment.
func read(t *testing.T, file string) (*unstructured.Unstructured, string) {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var object unstructured.Unstructured
	if err := yaml.Unmarshal(content, &object.Object); err != nil {
		t.Fatal(err)
	}
	comment, _, _ := bytes.Cut(content, []byte("\n"))
	return &object, strings.TrimPrefix(string(comment), "# ")
}

func ensureNamespace(t *testing.T, c client.Client, name string) {
	t.Helper()
	err := c.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
}

func TestValidSamplesAreAccepted(t *testing.T) {
	c := controlplane.Client(t)
	for _, file := range samples(t, "valid") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			object, _ := read(t, file)
			ensureNamespace(t, c, object.GetNamespace())
			if err := c.Create(t.Context(), object); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestInvalidSamplesAreRefused wants each to be refused with the message that its first comment
// quotes.
func TestInvalidSamplesAreRefused(t *testing.T) {
	c := controlplane.Client(t)
	for _, file := range samples(t, "invalid") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			object, comment := read(t, file)
			want, ok := strings.CutPrefix(comment, "Refused: ")
			if !ok {
				t.Fatalf("the first line must be # Refused: and the message")
			}
			err := c.Create(t.Context(), object)
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got  %v\nwant %s", err, want)
			}
		})
	}
}

// TestSchema changes one thing in an object that is accepted, and says what the API server and
// Validate think of it.
func TestSchema(t *testing.T) {
	c := controlplane.Client(t)
	number := func(n int32) *int32 { return &n }
	for name, tc := range map[string]struct {
		mutate func(*v1alpha1.MailAccountSpec)
		want   string // in the error of both; empty: accepted by both
	}{
		"as it is": {func(*v1alpha1.MailAccountSpec) {}, ""},
		"no limit at all": {
			func(s *v1alpha1.MailAccountSpec) { s.Limits = &v1alpha1.Limits{} }, "",
		},
		"the smallest limit": {
			func(s *v1alpha1.MailAccountSpec) { s.Limits.PerDay = number(1) }, "",
		},
		"the largest limit": {
			func(s *v1alpha1.MailAccountSpec) { s.Limits.PerDay = number(1<<31 - 1) }, "",
		},
		"limits left out": {
			func(s *v1alpha1.MailAccountSpec) { s.Limits, s.Behavior = nil, "Defer" },
			"spec.limits: Required value",
		},
		"zero per minute": {
			func(s *v1alpha1.MailAccountSpec) { s.Limits.PerMinute = number(0) },
			"spec.limits.perMinute: Invalid value: 0: must be 1 or more; leave perMinute out",
		},
		"minus one per hour": {
			func(s *v1alpha1.MailAccountSpec) { s.Limits.PerHour = number(-1) },
			"spec.limits.perHour: Invalid value: -1: must be 1 or more; leave perHour out",
		},
		"zero per day": {
			func(s *v1alpha1.MailAccountSpec) { s.Limits.PerDay = number(0) },
			"spec.limits.perDay: Invalid value: 0: must be 1 or more; leave perDay out",
		},
		"an unknown behavior": {
			func(s *v1alpha1.MailAccountSpec) { s.Behavior = "Drop" },
			`spec.behavior: Unsupported value: "Drop": supported values: "Defer", "Reject"`,
		},
		"an unknown deferTo": {
			func(s *v1alpha1.MailAccountSpec) { s.DeferTo = "Never" },
			`spec.deferTo: Unsupported value: "Never": supported values: "EarliestSlot", ` +
				`"WindowBoundary"`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			account := &v1alpha1.MailAccount{
				ObjectMeta: metav1.ObjectMeta{GenerateName: "schema-", Namespace: "default"},
				Spec: v1alpha1.MailAccountSpec{
					Limits: &v1alpha1.Limits{PerMinute: number(30)},
				},
			}
			tc.mutate(&account.Spec)
			ours := account.Spec.Validate().ToAggregate()
			theirs := c.Create(t.Context(), account)
			for who, err := range map[string]error{"the API server": theirs, "Validate": ours} {
				refused := err != nil && fmt.Sprint(err) != "<nil>"
				if refused != (tc.want != "") ||
					refused && !strings.Contains(err.Error(), tc.want) {
					t.Errorf("%s says %v, want %q", who, err, tc.want)
				}
			}
		})
	}
}

func TestDefaultsAreFilledIn(t *testing.T) {
	c := controlplane.Client(t)
	account := &v1alpha1.MailAccount{
		ObjectMeta: metav1.ObjectMeta{Name: "defaults", Namespace: "default"},
		Spec:       v1alpha1.MailAccountSpec{Limits: &v1alpha1.Limits{}},
	}
	if err := c.Create(t.Context(), account); err != nil {
		t.Fatal(err)
	}
	s := account.Spec
	if s.Behavior != v1alpha1.BehaviorDefer ||
		s.DeferTo != v1alpha1.DeferToEarliestSlot ||
		s.Suspend == nil ||
		*s.Suspend {
		t.Errorf("the defaults are %+v", s)
	}
}

// TestPrintColumns asks for the table that kubectl prints.
func TestPrintColumns(t *testing.T) {
	config := rest.CopyConfig(controlplane.Config)
	config.APIPath, config.GroupVersion = "/apis", &v1alpha1.SchemeGroupVersion
	config.NegotiatedSerializer = scheme.Codecs.WithoutConversion()
	c, err := rest.RESTClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	body, err := c.Get().Namespace("default").Resource("mailaccounts").
		SetHeader("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io").DoRaw(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var table metav1.Table
	if err := yaml.Unmarshal(body, &table); err != nil {
		t.Fatal(err)
	}
	var columns []string
	for _, column := range table.ColumnDefinitions {
		if column.Priority == 0 {
			columns = append(columns, column.Name)
		}
	}
	const want = "Name Per-Minute Per-Hour Per-Day Behavior Ready Age"
	if got := strings.Join(columns, " "); got != want {
		t.Errorf("kubectl get prints %q, want %q", got, want)
	}
}
