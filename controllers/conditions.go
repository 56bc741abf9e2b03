package controllers

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-mail/sluice/api/v1alpha1"
	"github.com/sluice-mail/sluice/limiter"
)

// readyCondition returns the condition that the status of an account should have, given the policy
// in force, if there is one. It is not ok as long as a valid spec is not in force.
func readyCondition(
	account *mailAccount, policy limiter.Policy, inForce bool,
) (c metav1.Condition, ok bool) {
	c = metav1.Condition{
		Type:               v1alpha1.ConditionReady,
		Status:             metav1.ConditionTrue,
		ObservedGeneration: account.Generation,
	}
	desired, problem := account.desiredPolicy()
	if problem != nil {
		c.Status, c.Reason = metav1.ConditionFalse, v1alpha1.ReasonInvalidSpec
		consequence := "No limits are in force, and checks are answered with 404."
		if inForce {
			consequence = "The limits before this change stay in force."
		}
		c.Message = fmt.Sprintf("%v. %s", problem, consequence)
		return c, true
	}
	if !inForce || !policy.SameRules(desired) {
		return c, false
	}
	c.Reason, c.Message = v1alpha1.ReasonLimitsEnforced, "Enforcing "+describe(policy.Limits)+"."
	if policy.Suspended {
		c.Reason = v1alpha1.ReasonSuspended
		c.Message = "Every check is denied until spec.suspend is false."
	}
	return c, true
}

// describe spells limits out: "2 per minute, 3 per hour".
func describe(limits limiter.Limits) string {
	var parts []string
	for w, limit := range limits[limiter.Cost] {
		if limit > 0 {
			parts = append(parts, fmt.Sprintf("%d per %s", limit, limiter.Window(w)))
		}
	}
	if parts == nil {
		return "no limit"
	}
	return strings.Join(parts, ", ")
}

// needsUpdate reports whether the status does not hold the wanted condition. The time of the last
// transition does not matter.
func needsUpdate(status *v1alpha1.MailAccountStatus, want metav1.Condition) bool {
	have := meta.FindStatusCondition(status.Conditions, want.Type)
	return have == nil ||
		have.Status != want.Status ||
		have.Reason != want.Reason ||
		have.Message != want.Message ||
		have.ObservedGeneration != want.ObservedGeneration ||
		status.ObservedGeneration == nil ||
		*status.ObservedGeneration != want.ObservedGeneration
}
