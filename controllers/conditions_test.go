package controllers

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-mail/sluice/api/v1alpha1"
	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/limitertest"
)

// accountOf is an account of generation 7 with this spec.
func accountOf(spec v1alpha1.MailAccountSpec) *mailAccount {
	return &mailAccount{MailAccount: v1alpha1.MailAccount{
		ObjectMeta: metav1.ObjectMeta{Generation: 7}, Spec: spec,
	}}
}

// limitsOf are limits of 2 a minute, 3 an hour and 4 a day.
func limitsOf() *v1alpha1.Limits {
	return &v1alpha1.Limits{PerMinute: new(int32(2)), PerHour: new(int32(3)), PerDay: new(int32(4))}
}

// limitedWith has those limits, and an edit.
func limitedWith(edit func(*v1alpha1.MailAccountSpec)) *mailAccount {
	a := accountOf(v1alpha1.MailAccountSpec{Limits: limitsOf()})
	edit(&a.Spec)
	return a
}

var (
	limited = limitedWith(func(*v1alpha1.MailAccountSpec) {})
	invalid = limitedWith(
		func(s *v1alpha1.MailAccountSpec) { s.Limits.PerMinute = new(int32(0)) },
	)
	suspended = limitedWith(func(s *v1alpha1.MailAccountSpec) { s.Suspend = new(true) })
	rejects   = limitedWith(
		func(s *v1alpha1.MailAccountSpec) { s.Behavior = v1alpha1.BehaviorReject },
	)
	boundary = limitedWith(
		func(s *v1alpha1.MailAccountSpec) { s.DeferTo = v1alpha1.DeferToWindowBoundary },
	)
	spelled = limitedWith(
		func(s *v1alpha1.MailAccountSpec) { s.Behavior, s.DeferTo = "Defer", "EarliestSlot" },
	)
	hourly = limitedWith(
		func(s *v1alpha1.MailAccountSpec) { s.Limits.PerMinute, s.Limits.PerDay = nil, nil },
	)
	unlimited = limitedWith(func(s *v1alpha1.MailAccountSpec) { s.Limits = &v1alpha1.Limits{} })
	odd       = &mailAccount{
		MailAccount: limited.MailAccount,
		unreadable:  errors.New("spec: is odd"),
	}
)

func TestReadyCondition(t *testing.T) {
	const (
		enforcing  = "Enforcing 2 per minute, 3 per hour, 4 per day."
		denied     = "Every check is denied until spec.suspend is false."
		limitsStay = " The limits before this change stay in force."
		noLimits   = " No limits are in force, and checks are answered with 404."
		tooSmall   = "spec.limits.perMinute: Invalid value: 0: must be 1 or more; " +
			"leave perMinute out for no limit, or set spec.suspend to true to send nothing."
	)
	inForce := &limiter.Policy{Limits: limitertest.Limits(2, 3, 4)}
	another := &limiter.Policy{Limits: limitertest.Limits(2, 3, 5)}
	denying := &limiter.Policy{Limits: limitertest.Limits(2, 3, 4), Suspended: true}
	nothing := metav1.Condition{}
	for name, c := range map[string]struct {
		account *mailAccount
		policy  *limiter.Policy  // in force, if any is
		want    metav1.Condition // its status, reason and message
	}{
		"limits in force": {limited, inForce, ready("True", "LimitsEnforced", enforcing)},
		"one limit": {
			hourly, &limiter.Policy{Limits: limiter.Limits{limiter.Cost: {limiter.Hour: 3}}},
			ready("True", "LimitsEnforced", "Enforcing 3 per hour."),
		},
		"no limit": {
			unlimited, &limiter.Policy{}, ready("True", "LimitsEnforced", "Enforcing no limit."),
		},
		"the defaults, said":    {spelled, inForce, ready("True", "LimitsEnforced", enforcing)},
		"a suspension in force": {suspended, denying, ready("True", "Suspended", denied)},
		"an invalid spec after a valid one": {
			invalid, inForce, ready("False", "InvalidSpec", tooSmall+limitsStay),
		},
		"an invalid spec from the beginning": {
			invalid, nil, ready("False", "InvalidSpec", tooSmall+noLimits),
		},
		"a spec that cannot be read": {
			odd, inForce, ready("False", "InvalidSpec", "spec: is odd."+limitsStay),
		},

		"not in the limiter yet":       {limited, nil, nothing},
		"a limit is another yet":       {limited, another, nothing},
		"not suspended yet":            {suspended, inForce, nothing},
		"suspended still":              {limited, denying, nothing},
		"the behavior is another yet":  {rejects, inForce, nothing},
		"the time told is another yet": {boundary, inForce, nothing},
	} {
		t.Run(name, func(t *testing.T) {
			policy, enforced := limiter.Policy{Limits: limitertest.Limits(2, 3, 4)}, false
			if c.policy != nil {
				policy, enforced = *c.policy, true
			}
			got, ok := readyCondition(c.account, policy, enforced)
			if ok != (c.want != nothing) {
				t.Fatalf("ok is %v: %+v", ok, got)
			}
			if diff := cmp.Diff(c.want, got); ok && diff != "" {
				t.Error(diff)
			}
		})
	}
}

// ready is a condition that speaks of generation 7.
func ready(status metav1.ConditionStatus, reason, message string) metav1.Condition {
	return metav1.Condition{
		Type: "Ready", Status: status, Reason: reason, Message: message, ObservedGeneration: 7,
	}
}

// TestNeedsUpdate wants a status to be written again for each field that is not as it should be,
// and for nothing else.
func TestNeedsUpdate(t *testing.T) {
	type status = v1alpha1.MailAccountStatus
	const other, own = 0, 1 // conditions
	for name, c := range map[string]struct {
		edit        func(*status)
		needsUpdate bool
	}{
		"the same": {func(*status) {}, false},
		"the time of the transition is not looked at": {func(s *status) {
			s.Conditions[own].LastTransitionTime = metav1.NewTime(time.Unix(1, 0))
		}, false},
		"another condition is not looked at": {func(s *status) {
			s.Conditions[other].Status = "Unknown"
		}, false},

		"nothing written":    {func(s *status) { *s = status{} }, true},
		"no condition Ready": {func(s *status) { s.Conditions = s.Conditions[:own] }, true},
		"its status":         {func(s *status) { s.Conditions[own].Status = "False" }, true},
		"its reason": {
			func(s *status) { s.Conditions[own].Reason = "Suspended" }, true,
		},
		"its message": {func(s *status) { s.Conditions[own].Message = "" }, true},
		"its generation": {
			func(s *status) { s.Conditions[own].ObservedGeneration = 6 }, true,
		},
		"the status' generation": {func(s *status) { s.ObservedGeneration = new(int64(6)) }, true},
		"no generation":          {func(s *status) { s.ObservedGeneration = nil }, true},
	} {
		t.Run(name, func(t *testing.T) {
			want := ready("True", "LimitsEnforced", "Enforcing no limit.")
			status := &v1alpha1.MailAccountStatus{
				ObservedGeneration: new(int64(7)),
				Conditions:         []metav1.Condition{{Type: "Other", Status: "False"}, want},
			}
			c.edit(status)
			if got := needsUpdate(status, want); got != c.needsUpdate {
				t.Errorf("needsUpdate: %v, want %v", got, c.needsUpdate)
			}
		})
	}
}
