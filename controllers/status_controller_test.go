package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-mail/sluice/api/v1alpha1"
	accountac "github.com/sluice-mail/sluice/api/v1alpha1/applyconfiguration/api/v1alpha1"
	"github.com/sluice-mail/sluice/limiter/limitertest"
)

const enforcing = "Enforcing 2 per minute."

const readyEvent = "Normal LimitsEnforced Reconcile " + enforcing

func TestStatusIsOfTheElected(t *testing.T) {
	w := newWritten(t, "status-elected")
	elected := false
	w.reconciler.elected = func() bool { return elected }
	w.settles(0)
	if w.ready() != nil {
		t.Errorf("the status is %+v", w.account.Status)
	}
	w.wantEvents()
	elected = true
	w.settles(1)
	w.wantReady("True", "LimitsEnforced", enforcing)
	w.wantEvents(readyEvent)
	w.settles(0) // all is said
	elected = false
	w.change(func(s *v1alpha1.MailAccountSpec) { s.Limits.PerMinute = new(int32(3)) })
	w.settles(0)
	elected = true
	w.settles(1)
	w.wantReady("True", "LimitsEnforced", "Enforcing 3 per minute.")
	w.wantEvents()
}

// TestStatusClaimsNothing wants no status that claims what the limiter does not enforce yet.
func TestStatusClaimsNothing(t *testing.T) {
	w := newWritten(t, "status-waits")
	limitertest.Purge(t, w.reconciler.limiter, keyOf(client.ObjectKeyFromObject(w.account)))
	w.settles(0)
	w.enforce()
	w.settles(1)
	w.wantReady("True", "LimitsEnforced", enforcing)
}

// TestStatusOfManySteps wants an event for each transition of the readiness, and for nothing else.
func TestStatusOfManySteps(t *testing.T) {
	w := newWritten(t, "status-steps")
	w.settles(1)
	w.wantEvents(readyEvent)
	w.settles(0)
	w.change(func(s *v1alpha1.MailAccountSpec) { s.Suspend = new(true) })
	w.settles(1)
	w.wantReady("True", "Suspended", "Every check is denied until spec.suspend is false.")
	w.change(func(s *v1alpha1.MailAccountSpec) { s.Suspend, s.Limits.PerDay = nil, new(int32(9)) })
	w.settles(1)
	w.wantReady("True", "LimitsEnforced", "Enforcing 2 per minute, 9 per day.")
	w.wantEvents()

	// As an older schema would let it be.
	w.seen = func(a *mailAccount) { a.unreadable = errors.New("spec: is odd") }
	w.settles(1)
	const odd = "spec: is odd. The limits before this change stay in force."
	w.wantReady("False", "InvalidSpec", odd)
	w.wantEvents("Warning InvalidSpec Reconcile " + odd)
	w.settles(0)
	w.seen = func(a *mailAccount) { a.unreadable = errors.New("spec: is odder") }
	w.settles(1)
	const odder = "spec: is odder. The limits before this change stay in force."
	w.wantReady("False", "InvalidSpec", odder)
	w.wantEvents()

	w.seen = nil
	w.settles(1)
	w.wantReady("True", "LimitsEnforced", "Enforcing 2 per minute, 9 per day.")
	w.wantEvents("Normal LimitsEnforced Reconcile Enforcing 2 per minute, 9 per day.")
	w.settles(0)
}

// TestStatusIsTakenBack has another manager write the condition, and own it. Sluice must win, and
// keep the time of the transition if it is of the same readiness.
func TestStatusIsTakenBack(t *testing.T) {
	long := metav1.NewTime(time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC))
	for name, c := range map[string]struct {
		status  metav1.ConditionStatus
		keeps   bool
		message string
		events  []string
	}{
		"the same readiness, of another reason": {"True", true, "Nobody knows.", nil},
		"another readiness":                     {"False", false, enforcing, []string{readyEvent}},
		"an unknown readiness": {
			"Unknown", false, enforcing, []string{readyEvent},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWritten(t, "status-taken-back")
			foreign := metav1ac.Condition().
				WithType("Ready").
				WithStatus(c.status).
				WithReason("Foreign").
				WithMessage(c.message).
				WithObservedGeneration(w.account.Generation).
				WithLastTransitionTime(long)
			apply := accountac.MailAccount(w.account.Name, "default").
				WithStatus(accountac.MailAccountStatus().WithConditions(foreign).
					WithObservedGeneration(99))
			another := client.FieldOwner("another")
			if err := w.client.Status().Apply(t.Context(), apply, another); err != nil {
				t.Fatal(err)
			}
			w.settles(1)
			w.wantReady("True", "LimitsEnforced", enforcing)
			if since := w.ready().LastTransitionTime; since.Equal(&long) != c.keeps {
				t.Errorf("the transition was at %v", since)
			}
			w.wantEvents(c.events...)
			w.settles(0)
			if !slices.ContainsFunc(
				w.account.ManagedFields,
				func(f metav1.ManagedFieldsEntry) bool {
					return f.Manager == "sluice" &&
						f.Operation == metav1.ManagedFieldsOperationApply &&
						f.Subresource == "status"
				},
			) {
				t.Errorf("the status is not applied by sluice: %v", w.account.ManagedFields)
			}
		})
	}
}

// TestStatusOfItsObjectAlone deletes the account between its being read and its status being
// written, and may create another of the same name. That one must not get a status that speaks of
// the old one.
func TestStatusOfItsObjectAlone(t *testing.T) {
	t.Run("deleted and created again", func(t *testing.T) {
		w := newWritten(t, "status-again")
		w.before = func() error {
			w.delete()
			w.create("status-again", 7)
			return nil
		}
		w.settles(1)
		if len(w.account.Status.Conditions) > 0 || w.account.Status.ObservedGeneration != nil {
			t.Errorf("the new object has the status %+v", w.account.Status)
		}
		w.wantEvents()
		w.before = nil
		w.settles(0) // the limiter does not have the new one yet
		w.enforce()
		w.settles(1)
		w.wantReady("True", "LimitsEnforced", "Enforcing 7 per minute.")
	})
	t.Run("deleted", func(t *testing.T) {
		w := newWritten(t, "status-gone")
		w.before = func() error { w.delete(); return nil }
		w.settles(1)
		w.wantEvents()
		err := w.client.Get(t.Context(), client.ObjectKeyFromObject(w.account), &mailAccount{})
		if !apierrors.IsNotFound(err) {
			t.Errorf("there is a ghost of it: %v", err)
		}
		w.settles(0) // and it is not asked about again
	})
}

// TestStatusOfAStaleCache looks at the account as it was before its status was written. That must
// not be written, nor announced, twice.
func TestStatusOfAStaleCache(t *testing.T) {
	w := newWritten(t, "status-stale")
	stale := w.account.DeepCopy()
	w.settles(1)
	w.wantEvents(readyEvent)
	since := w.ready().LastTransitionTime
	version := w.account.ResourceVersion
	w.seen = func(a *mailAccount) { a.MailAccount = *stale.DeepCopy() }
	w.settles(1)
	w.wantEvents()
	if now := w.account.ResourceVersion; now != version {
		t.Errorf("version %s became %s", version, now)
	}
	w.seen = nil
	w.settles(0)
	if now := w.ready().LastTransitionTime; !now.Equal(&since) {
		t.Errorf("the time of the transition moved from %v to %v", since, now)
	}
}

// TestStatusThatFails wants a failed write to be tried again, and not to be announced. A replica
// that stops is no failure.
func TestStatusThatFails(t *testing.T) {
	away := apierrors.NewInternalError(errors.New("etcd is away"))
	w := newWritten(t, "status-fails")
	w.before = func() error { return away }
	if result, err := w.reconcile(1); !errors.Is(err, away) || result != (ctrl.Result{}) {
		t.Errorf("it returned %+v, %v", result, err)
	}
	w.wantEvents()

	ctx, cancel := context.WithCancel(t.Context())
	w.before = func() error { cancel(); return fmt.Errorf("send: %w", ctx.Err()) }
	name := client.ObjectKeyFromObject(w.account)
	result, err := w.reconciler.Reconcile(ctx, ctrl.Request{NamespacedName: name})
	if err != nil || result != (ctrl.Result{}) {
		t.Errorf("a replica that stops returned %+v, %v", result, err)
	}
	w.wantEvents()

	w.before = nil
	w.settles(1)
	w.wantEvents(readyEvent)

	w.reconciler.client = unreadableClient{w.reconciler.client, away}
	if _, err := w.reconcile(0); !errors.Is(err, away) {
		t.Errorf("it returned %v", err)
	}
}

// unreadableClient reads nothing.
type unreadableClient struct {
	client.Client
	err error
}

func (u unreadableClient) Get(
	context.Context, client.ObjectKey, client.Object, ...client.GetOption,
) error {
	return u.err
}
