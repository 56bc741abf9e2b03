package manifest_test

import (
	"testing"

	"github.com/sluice-mail/sluice/manifest"
)

// BenchmarkParse reads a file of one account.
func BenchmarkParse(b *testing.B) {
	content := []byte(
		"apiVersion: sluice.dev/v1alpha1\nkind: MailAccount\n" +
			"metadata:\n  name: newsletter\n  namespace: marketing\n" +
			"spec:\n  limits:\n    perMinute: 30\n    perHour: 1000\n    perDay: 10000\n",
	)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := manifest.Parse("x.yaml", content); err != nil {
			b.Fatal(err)
		}
	}
}
