package v1alpha1

import (
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Validate returns what the schema of the CustomResourceDefinition has against this spec, in its
// words. The API server refuses such an object, but an older schema may have let it through.
func (s *MailAccountSpec) Validate() field.ErrorList {
	spec := field.NewPath("spec")
	errs := s.Limits.validate(spec.Child("limits"))
	switch s.Behavior {
	case "", BehaviorDefer, BehaviorReject:
	default:
		known := []Behavior{BehaviorDefer, BehaviorReject}
		errs = append(errs, field.NotSupported(spec.Child("behavior"), s.Behavior, known))
	}
	switch s.DeferTo {
	case "", DeferToEarliestSlot, DeferToWindowBoundary:
	default:
		known := []DeferTo{DeferToEarliestSlot, DeferToWindowBoundary}
		errs = append(errs, field.NotSupported(spec.Child("deferTo"), s.DeferTo, known))
	}
	return errs
}

func (l *Limits) validate(path *field.Path) field.ErrorList {
	if l == nil {
		const hint = "write `limits: {}` for an account without any limit"
		return field.ErrorList{field.Required(path, hint)}
	}
	var errs field.ErrorList
	for _, limit := range []struct {
		name  string
		value *int32
	}{
		{"perMinute", l.PerMinute},
		{"perHour", l.PerHour},
		{"perDay", l.PerDay},
	} {
		if limit.value != nil && *limit.value < 1 {
			hint := fmt.Sprintf("must be 1 or more; leave %s out for no limit, "+
				"or set spec.suspend to true to send nothing", limit.name)
			errs = append(errs, field.Invalid(path.Child(limit.name), *limit.value, hint))
		}
	}
	return errs
}
