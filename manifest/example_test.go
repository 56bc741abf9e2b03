package manifest_test

import (
	"fmt"

	"github.com/sluice-mail/sluice/manifest"
)

func ExampleParse() {
	_, err := manifest.Parse("accounts.yaml", []byte(`
apiVersion: sluice.dev/v1alpha1
kind: MailAccount
metadata: {name: newsletter, namespace: marketing}
spec:
  limits: {perMinute: 30}
  behaviour: Reject
`))
	fmt.Println(err)
	// Output: accounts.yaml:7: spec.behaviour: unknown field "spec.behaviour"
}
