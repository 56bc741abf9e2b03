package manifest_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/validation"

	"github.com/sluice-mail/sluice/api/v1alpha1"
	"github.com/sluice-mail/sluice/manifest"
)

// FuzzParse wants any file to be refused with errors that name it, or to hold accounts that the API
// server would take, and that read the same once they are written again.
func FuzzParse(f *testing.F) {
	samples, err := filepath.Glob(filepath.Join("..", "config", "samples", "*", "*.yaml"))
	if err != nil || len(samples) == 0 {
		f.Fatalf("no samples: %v", err)
	}
	for _, sample := range samples {
		content, err := os.ReadFile(sample)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(content)
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		read, err := manifest.Parse("x.yaml", content)
		if err != nil {
			wantManifestErrors(t, err)
			if read.Accounts != nil || read.Documents != 0 {
				t.Errorf("it is refused, and holds %v", read)
			}
			return
		}
		for i := range read.Accounts {
			wantValid(t, &read.Accounts[i])
		}
	})
}

// wantManifestErrors wants an error to be one about the file, or several.
func wantManifestErrors(t *testing.T, err error) {
	t.Helper()
	joined, ok := err.(interface{ Unwrap() []error }) //nolint:errorlint // the loop looks at all
	if ok {
		for _, err := range joined.Unwrap() {
			wantManifestErrors(t, err)
		}
		return
	}
	var m *manifest.Error
	if !errors.As(err, &m) || m.File != "x.yaml" || m.Line < 0 || m.Err == nil {
		t.Errorf("an error does not say where: %#v", err)
	}
	_ = err.Error()
}

// wantValid wants an account to be one that the API server would take, and to read the same once it
// is written.
func wantValid(t *testing.T, account *v1alpha1.MailAccount) {
	t.Helper()
	for _, err := range account.Spec.Validate() {
		t.Error(err)
	}
	for _, message := range validation.NameIsDNSSubdomain(account.Name, false) {
		t.Errorf("the name %q: %s", account.Name, message)
	}
	for _, message := range validation.ValidateNamespaceName(account.Namespace, false) {
		t.Errorf("the namespace %q: %s", account.Namespace, message)
	}
	content, err := json.Marshal(account)
	if err != nil {
		t.Fatal(err)
	}
	again, err := manifest.Parse("x.json", content)
	if err != nil {
		t.Fatalf("%s\n%v", content, err)
	}
	if len(again.Accounts) != 1 {
		t.Fatalf("%s\nis read as %v", content, again)
	}
	if diff := cmp.Diff(account, &again.Accounts[0]); diff != "" {
		t.Errorf("written and read again it is another:\n%s", diff)
	}
}
