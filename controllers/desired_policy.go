package controllers

import (
	"context"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-mail/sluice/api/v1alpha1"
	"github.com/sluice-mail/sluice/limiter"
)

// desiredPolicy returns the policy that a spec asks for. An invalid spec asks for none: it is an
// error, and what was in force stays in force.
func desiredPolicy(spec *v1alpha1.MailAccountSpec) (limiter.Policy, error) {
	if errs := spec.Validate(); errs != nil {
		return limiter.Policy{}, errs.ToAggregate()
	}
	p := limiter.Policy{Suspended: spec.Suspend != nil && *spec.Suspend}
	if spec.Behavior == v1alpha1.BehaviorReject {
		p.Behavior = limiter.Reject
	}
	if spec.DeferTo == v1alpha1.DeferToWindowBoundary {
		p.DeferTo = limiter.WindowBoundary
	}
	setLimit(&p, limiter.Minute, spec.Limits.PerMinute)
	setLimit(&p, limiter.Hour, spec.Limits.PerHour)
	setLimit(&p, limiter.Day, spec.Limits.PerDay)
	return p, nil
}

// setLimit sets the limit of a window, unless there is none.
func setLimit(p *limiter.Policy, w limiter.Window, limit *int32) {
	if limit != nil {
		p.Limits[limiter.Cost][w] = int64(*limit)
	}
}

// desiredPolicy returns the policy that the object asks for. An object that cannot be read asks for
// none, like one with an invalid spec.
func (a *mailAccount) desiredPolicy() (limiter.Policy, error) {
	if a.unreadable != nil {
		return limiter.Policy{}, a.unreadable
	}
	p, err := desiredPolicy(&a.Spec)
	p.Generation = a.Generation
	return p, err
}

// enforce makes the limiter enforce the desired policy, and reports whether that changed the policy
// in force. If there is no desired policy, the one in force stays, but not that of an object which
// had the same name and is gone. The problem is what is wrong with the object, the error what the
// store could not do: then it must be called again.
func (a *mailAccount) enforce(
	ctx context.Context, l *limiter.Limiter,
) (changed bool, problem, err error) {
	key, uid := a.key(), string(a.UID)
	policy, problem := a.desiredPolicy()
	if problem != nil {
		_, err = l.PurgeUnlessUID(ctx, key, uid)
		return false, problem, err
	}
	changed, err = l.Apply(ctx, key, uid, policy)
	return changed, nil, err
}

// policyInForce returns the policy that the limiter enforces for this very object, if it does.
func (a *mailAccount) policyInForce(l *limiter.Limiter) (limiter.Policy, bool) {
	return l.PolicyInForce(a.key(), string(a.UID))
}

func (a *mailAccount) key() limiter.Key {
	return limiter.Key{Namespace: a.Namespace, Name: a.Name}
}

func keyOf(n types.NamespacedName) limiter.Key {
	return limiter.Key{Namespace: n.Namespace, Name: n.Name}
}
