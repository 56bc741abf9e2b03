package v1alpha1

import (
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Validate returns what the schema of the CustomResourceDefinition has against this spec, in its words. The API server
// refuses such an object; one that an older schema let through is caught here.
func (s *MailAccountSpec) Validate() field.ErrorList {
	spec := field.NewPath("spec")
	var errs field.ErrorList
	if s.Limits == nil {
		errs = append(errs, field.Required(spec.Child("limits"), "write `limits: {}` for an account without any limit"))
	} else {
		for _, limit := range []struct {
			name  string
			value *int32
		}{{"perMinute", s.Limits.PerMinute}, {"perHour", s.Limits.PerHour}, {"perDay", s.Limits.PerDay}} {
			if limit.value != nil && *limit.value < 1 {
				errs = append(errs, field.Invalid(spec.Child("limits", limit.name), *limit.value, fmt.Sprintf(
					"must be 1 or more; leave %s out for no limit, or set spec.suspend to true to send nothing", limit.name)))
			}
		}
	}
	switch s.Behavior {
	case "", BehaviorDefer, BehaviorReject:
	default:
		errs = append(errs, field.NotSupported(spec.Child("behavior"), s.Behavior, []Behavior{BehaviorDefer, BehaviorReject}))
	}
	switch s.DeferTo {
	case "", DeferToEarliestSlot, DeferToWindowBoundary:
	default:
		errs = append(errs, field.NotSupported(spec.Child("deferTo"), s.DeferTo, []DeferTo{DeferToEarliestSlot, DeferToWindowBoundary}))
	}
	return errs
}
