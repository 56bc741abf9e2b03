package controllers

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-mail/sluice/api/v1alpha1"
	"github.com/sluice-mail/sluice/limiter"
)

// readyCondition is what the status of an account should say, given what the limiter enforces for it (nothing if
// enforced is false). Settled is false while a valid spec is not in force yet: then there is nothing to say.
func readyCondition(account *mailAccount, policy limiter.Policy, enforced bool) (c metav1.Condition, settled bool) {
	c = metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, ObservedGeneration: account.Generation}
	if problem := account.problem(); problem != nil {
		c.Status, c.Reason = metav1.ConditionFalse, v1alpha1.ReasonInvalidSpec
		inForce := "No limits are in force, and checks are answered with 404."
		if enforced {
			inForce = "The limits before this change stay in force."
		}
		c.Message = fmt.Sprintf("%v. %s", problem, inForce)
		return c, true
	}
	if !enforced || policy != desiredPolicy(&account.Spec) {
		return c, false
	}
	c.Reason, c.Message = v1alpha1.ReasonLimitsEnforced, "Enforcing "+describe(policy.Limits)+"."
	if policy.Suspended {
		c.Reason, c.Message = v1alpha1.ReasonSuspended, "Every check is denied until spec.suspend is false."
	}
	return c, true
}

// describe spells limits out, for people.
func describe(limits limiter.Limits) string {
	var parts []string
	for w, limit := range limits {
		if limit > 0 {
			parts = append(parts, fmt.Sprintf("%d per %s", limit, limiter.Window(w)))
		}
	}
	if parts == nil {
		return "no limit"
	}
	return strings.Join(parts, ", ")
}

// needsUpdate says whether the status must be written for it to hold this condition.
func needsUpdate(status *v1alpha1.MailAccountStatus, want metav1.Condition) bool {
	have := meta.FindStatusCondition(status.Conditions, want.Type)
	return have == nil || have.Status != want.Status || have.Reason != want.Reason || have.Message != want.Message ||
		have.ObservedGeneration != want.ObservedGeneration ||
		status.ObservedGeneration == nil || *status.ObservedGeneration != want.ObservedGeneration
}
