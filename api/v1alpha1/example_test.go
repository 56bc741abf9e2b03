package v1alpha1_test

import (
	"fmt"

	"github.com/sluice-mail/sluice/api/v1alpha1"
)

func ExampleMailAccountSpec_Validate() {
	none := int32(0)
	spec := v1alpha1.MailAccountSpec{Limits: &v1alpha1.Limits{PerMinute: &none}}
	fmt.Println(spec.Validate()[0].Field)
	// Output: spec.limits.perMinute
}
