package controllers

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-mail/sluice/api/v1alpha1"
	"github.com/sluice-mail/sluice/limiter"
)

// accountOf is an account of generation 7 with this spec.
func accountOf(spec v1alpha1.MailAccountSpec) *account {
	return &account{MailAccount: v1alpha1.MailAccount{ObjectMeta: metav1.ObjectMeta{Generation: 7}, Spec: spec}}
}

func TestReadyCondition(t *testing.T) {
	const (
		limitsStay = " The limits before this change stay in force."
		noLimits   = " No limits are in force, and checks are answered with 404."
		tooSmall   = "spec.limits.perMinute: Invalid value: 0: must be 1 or more; leave perMinute out for no limit, or set " +
			"spec.suspend to true to send nothing."
	)
	limited := v1alpha1.MailAccountSpec{Limits: &v1alpha1.Limits{PerMinute: new(int32(2)), PerHour: new(int32(3)), PerDay: new(int32(4))}}
	invalid := v1alpha1.MailAccountSpec{Limits: &v1alpha1.Limits{PerMinute: new(int32(0))}}
	with := func(edit func(*v1alpha1.MailAccountSpec)) *account {
		spec := limited
		edit(&spec)
		return accountOf(spec)
	}
	inForce := limiter.Policy{Limits: limiter.Limits{2, 3, 4}}
	suspended := inForce
	suspended.Suspended = true
	for name, c := range map[string]struct {
		account  *account
		policy   limiter.Policy
		enforced bool
		want     metav1.Condition // all but its type and generation; without a status: nothing to say yet
	}{
		"limits in force": {accountOf(limited), inForce, true, metav1.Condition{
			Status: "True", Reason: "LimitsEnforced", Message: "Enforcing 2 per minute, 3 per hour, 4 per day."}},
		"one limit": {accountOf(v1alpha1.MailAccountSpec{Limits: &v1alpha1.Limits{PerHour: new(int32(3))}}),
			limiter.Policy{Limits: limiter.Limits{limiter.Hour: 3}}, true, metav1.Condition{
				Status: "True", Reason: "LimitsEnforced", Message: "Enforcing 3 per hour."}},
		"no limit": {accountOf(v1alpha1.MailAccountSpec{Limits: &v1alpha1.Limits{}}), limiter.Policy{}, true, metav1.Condition{
			Status: "True", Reason: "LimitsEnforced", Message: "Enforcing no limit."}},
		"a suspension in force": {with(func(s *v1alpha1.MailAccountSpec) { s.Suspend = new(true) }), suspended, true, metav1.Condition{
			Status: "True", Reason: "Suspended", Message: "Every check is denied until spec.suspend is false."}},
		"an invalid spec after a valid one": {accountOf(invalid), inForce, true, metav1.Condition{
			Status: "False", Reason: "InvalidSpec", Message: tooSmall + limitsStay}},
		"an invalid spec from the beginning": {accountOf(invalid), limiter.Policy{}, false, metav1.Condition{
			Status: "False", Reason: "InvalidSpec", Message: tooSmall + noLimits}},
		"a spec that cannot be read": {&account{MailAccount: accountOf(limited).MailAccount, unreadable: errors.New("spec: is odd")},
			inForce, true, metav1.Condition{Status: "False", Reason: "InvalidSpec", Message: "spec: is odd." + limitsStay}},

		"not in the limiter yet":       {accountOf(limited), inForce, false, metav1.Condition{}},
		"a limit is another yet":       {accountOf(limited), limiter.Policy{Limits: limiter.Limits{2, 3, 5}}, true, metav1.Condition{}},
		"not suspended yet":            {with(func(s *v1alpha1.MailAccountSpec) { s.Suspend = new(true) }), inForce, true, metav1.Condition{}},
		"suspended still":              {accountOf(limited), suspended, true, metav1.Condition{}},
		"the behavior is another yet":  {with(func(s *v1alpha1.MailAccountSpec) { s.Behavior = "Reject" }), inForce, true, metav1.Condition{}},
		"the time told is another yet": {with(func(s *v1alpha1.MailAccountSpec) { s.DeferTo = "WindowBoundary" }), inForce, true, metav1.Condition{}},
		"the defaults are as good said": {with(func(s *v1alpha1.MailAccountSpec) { s.Behavior, s.DeferTo = "Defer", "EarliestSlot" }), inForce, true,
			metav1.Condition{Status: "True", Reason: "LimitsEnforced", Message: "Enforcing 2 per minute, 3 per hour, 4 per day."}},
	} {
		t.Run(name, func(t *testing.T) {
			got, settled := readyCondition(c.account, c.policy, c.enforced)
			if want := c.want.Status != ""; settled != want {
				t.Fatalf("settled is %v, want %v: %+v", settled, want, got)
			}
			if !settled {
				return
			}
			c.want.Type, c.want.ObservedGeneration = "Ready", 7
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestDiffers wants a status to be written again for each field that is not as it should be, and for nothing else.
func TestDiffers(t *testing.T) {
	want := metav1.Condition{Type: "Ready", Status: "True", Reason: "LimitsEnforced", Message: "Enforcing no limit.", ObservedGeneration: 7}
	for name, c := range map[string]struct {
		edit    func(*v1alpha1.MailAccountStatus)
		differs bool
	}{
		"the same": {func(*v1alpha1.MailAccountStatus) {}, false},
		"the time of the transition is not looked at": {func(s *v1alpha1.MailAccountStatus) {
			s.Conditions[1].LastTransitionTime = metav1.NewTime(time.Unix(1, 0))
		}, false},
		"another's condition is not looked at": {func(s *v1alpha1.MailAccountStatus) { s.Conditions[0].Status = "Unknown" }, false},
		"nothing written":                      {func(s *v1alpha1.MailAccountStatus) { *s = v1alpha1.MailAccountStatus{} }, true},
		"no condition Ready":                   {func(s *v1alpha1.MailAccountStatus) { s.Conditions = s.Conditions[:1] }, true},
		"its status":                           {func(s *v1alpha1.MailAccountStatus) { s.Conditions[1].Status = "False" }, true},
		"its reason":                           {func(s *v1alpha1.MailAccountStatus) { s.Conditions[1].Reason = "Suspended" }, true},
		"its message":                          {func(s *v1alpha1.MailAccountStatus) { s.Conditions[1].Message = "" }, true},
		"its generation":                       {func(s *v1alpha1.MailAccountStatus) { s.Conditions[1].ObservedGeneration = 6 }, true},
		"the status' generation":               {func(s *v1alpha1.MailAccountStatus) { s.ObservedGeneration = new(int64(6)) }, true},
		"no generation":                        {func(s *v1alpha1.MailAccountStatus) { s.ObservedGeneration = nil }, true},
	} {
		t.Run(name, func(t *testing.T) {
			status := &v1alpha1.MailAccountStatus{ObservedGeneration: new(int64(7)), Conditions: []metav1.Condition{{Type: "Other", Status: "False"}, want}}
			c.edit(status)
			if got := differs(status, want); got != c.differs {
				t.Errorf("differs: %v, want %v", got, c.differs)
			}
		})
	}
}
