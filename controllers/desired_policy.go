package controllers

import (
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-mail/sluice/api/v1alpha1"
	"github.com/sluice-mail/sluice/limiter"
)

// desiredPolicy is the limiter's word for a valid spec.
func desiredPolicy(spec *v1alpha1.MailAccountSpec) limiter.Policy {
	p := limiter.Policy{Suspended: spec.Suspend != nil && *spec.Suspend}
	if spec.Behavior == v1alpha1.BehaviorReject {
		p.Behavior = limiter.Reject
	}
	if spec.DeferTo == v1alpha1.DeferToWindowBoundary {
		p.DeferTo = limiter.WindowBoundary
	}
	if limits := spec.Limits; limits != nil {
		for w, limit := range []*int32{limiter.Minute: limits.PerMinute, limiter.Hour: limits.PerHour, limiter.Day: limits.PerDay} {
			if limit != nil {
				p.Limits[w] = int64(*limit)
			}
		}
	}
	return p
}

func keyOf(n types.NamespacedName) limiter.Key {
	return limiter.Key{Namespace: n.Namespace, Name: n.Name}
}
