package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/sluice-mail/sluice/api/v1alpha1"
	accountac "github.com/sluice-mail/sluice/api/v1alpha1/applyconfiguration/api/v1alpha1"
	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/test/controlplane"
)

// written is a status reconciler at a real API server, called by hand, and one account there.
type written struct {
	t          *testing.T
	client     client.Client // the test's own
	reconciler *statusReconciler
	events     chan string
	account    *account
	applies    int            // how many statuses were sent
	seen       func(*account) // changes what the reconciler reads
	before     func() error   // comes before a status is sent
}

// newWritten creates an account with this limit, and has the limiter enforce it.
func newWritten(t *testing.T, name string) *written {
	t.Helper()
	scheme, err := NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.NewWithWatch(controlplane.Config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	w := &written{t: t, client: c, events: make(chan string, 100)}
	w.reconciler = &statusReconciler{
		limiter: limiter.New(limiter.Options{}), events: &events.FakeRecorder{Events: w.events, Verbose: true}, elected: func() bool { return true },
		client: interceptor.NewClient(c, interceptor.Funcs{
			Get: func(ctx context.Context, c client.WithWatch, k client.ObjectKey, o client.Object, opts ...client.GetOption) error {
				err := c.Get(ctx, k, o, opts...)
				if a, ok := o.(*account); ok && err == nil && w.seen != nil {
					w.seen(a)
				}
				return err
			},
			SubResourceApply: func(ctx context.Context, c client.Client, sub string, o runtime.ApplyConfiguration, opts ...client.SubResourceApplyOption) error {
				w.applies++
				if w.before != nil {
					if err := w.before(); err != nil {
						return err
					}
				}
				return c.SubResource(sub).Apply(ctx, o, opts...)
			},
		}),
	}
	w.create(name, 2)
	w.enforce()
	return w
}

// create makes an account that is gone after the test.
func (w *written) create(name string, limit int32) {
	w.t.Helper()
	w.account = &account{MailAccount: v1alpha1.MailAccount{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"},
		Spec:       v1alpha1.MailAccountSpec{Limits: &v1alpha1.Limits{PerMinute: &limit}},
	}}
	if err := w.client.Create(w.t.Context(), w.account); err != nil {
		w.t.Fatal(err)
	}
	created := w.account.DeepCopy()
	w.t.Cleanup(func() {
		if err := w.client.Delete(context.Background(), &account{MailAccount: *created}); client.IgnoreNotFound(err) != nil {
			w.t.Error(err)
		}
	})
}

func (w *written) delete() {
	w.t.Helper()
	if err := w.client.Delete(w.t.Context(), w.account); err != nil {
		w.t.Fatal(err)
	}
}

// enforce has the limiter enforce what the account says.
func (w *written) enforce() {
	key := keyOf(client.ObjectKeyFromObject(w.account))
	w.reconciler.limiter.Apply(key, string(w.account.UID), policyOf(&w.account.Spec))
}

// change patches the spec, and has the limiter enforce it.
func (w *written) change(edit func(*v1alpha1.MailAccountSpec)) {
	w.t.Helper()
	before := w.account.DeepCopyObject().(client.Object) //nolint:forcetypeassert // it is one
	edit(&w.account.Spec)
	if err := w.client.Patch(w.t.Context(), w.account, client.MergeFrom(before)); err != nil {
		w.t.Fatal(err)
	}
	w.enforce()
}

// reconcile looks at the account once, and reads what has become of it. It wants so many statuses to be sent.
func (w *written) reconcile(applies int) (ctrl.Result, error) {
	w.t.Helper()
	w.applies = 0
	name := client.ObjectKeyFromObject(w.account)
	result, err := w.reconciler.Reconcile(w.t.Context(), ctrl.Request{NamespacedName: name})
	if w.applies != applies {
		w.t.Errorf("the status was sent %d times, want %d", w.applies, applies)
	}
	if err := w.client.Get(w.t.Context(), name, w.account); client.IgnoreNotFound(err) != nil {
		w.t.Fatal(err)
	}
	return result, err
}

// settles is reconcile without an error, and nothing to come back for.
func (w *written) settles(applies int) {
	w.t.Helper()
	if result, err := w.reconcile(applies); err != nil || result != (ctrl.Result{}) {
		w.t.Errorf("it returned %+v, %v", result, err)
	}
}

// wantEvents wants these events, and no others, since the last time.
func (w *written) wantEvents(want ...string) {
	w.t.Helper()
	var got []string
	for len(w.events) > 0 {
		got = append(got, <-w.events)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		w.t.Errorf("events:\n%s", diff)
	}
}

func (w *written) ready() *metav1.Condition {
	return meta.FindStatusCondition(w.account.Status.Conditions, v1alpha1.ConditionReady)
}

// wantReady wants the condition Ready, of the present generation, with its reason and message.
func (w *written) wantReady(status metav1.ConditionStatus, reason, message string) {
	w.t.Helper()
	have := w.ready()
	if have == nil {
		w.t.Fatalf("the status is %+v", w.account.Status)
	}
	want := metav1.Condition{
		Type: "Ready", Status: status, Reason: reason, Message: message, ObservedGeneration: w.account.Generation,
		LastTransitionTime: have.LastTransitionTime,
	}
	if diff := cmp.Diff(want, *have); diff != "" {
		w.t.Error(diff)
	}
	if g := w.account.Status.ObservedGeneration; g == nil || *g != w.account.Generation {
		w.t.Errorf("the status speaks of generation %v, want %d", g, w.account.Generation)
	}
}

const readyEvent = "Normal LimitsEnforced Reconcile Enforcing 2 per minute."

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
	w.wantReady("True", "LimitsEnforced", "Enforcing 2 per minute.")
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

// TestStatusClaimsNothing wants a status to wait until the limiter enforces what it is about to claim.
func TestStatusClaimsNothing(t *testing.T) {
	w := newWritten(t, "status-waits")
	w.reconciler.limiter.Purge(keyOf(client.ObjectKeyFromObject(w.account)))
	for range 2 {
		if result, err := w.reconcile(0); err != nil || result.RequeueAfter != settleInterval {
			t.Errorf("it returned %+v, %v", result, err)
		}
	}
	w.enforce()
	w.settles(1)
	w.wantReady("True", "LimitsEnforced", "Enforcing 2 per minute.")
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

	w.seen = func(a *account) { a.unreadable = errors.New("spec: is odd") } // as an older schema would let it be
	w.settles(1)
	const odd = "spec: is odd. The limits before this change stay in force."
	w.wantReady("False", "InvalidSpec", odd)
	w.wantEvents("Warning InvalidSpec Reconcile " + odd)
	w.settles(0)
	w.seen = func(a *account) { a.unreadable = errors.New("spec: is odder") }
	w.settles(1)
	w.wantReady("False", "InvalidSpec", "spec: is odder. The limits before this change stay in force.")
	w.wantEvents()

	w.seen = nil
	w.settles(1)
	w.wantReady("True", "LimitsEnforced", "Enforcing 2 per minute, 9 per day.")
	w.wantEvents("Normal LimitsEnforced Reconcile Enforcing 2 per minute, 9 per day.")
	w.settles(0)
}

// TestStatusIsTakenBack has another manager write the condition, and own it. Sluice must win, and keep the time of the
// transition if it is of the same readiness.
func TestStatusIsTakenBack(t *testing.T) {
	long := metav1.NewTime(time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC))
	for name, c := range map[string]struct {
		status  metav1.ConditionStatus
		keeps   bool
		message string
		events  []string
	}{
		"the same readiness, of another reason": {"True", true, "Nobody knows.", nil},
		"another readiness":                     {"False", false, "Enforcing 2 per minute.", []string{readyEvent}},
		"an unknown readiness":                  {"Unknown", false, "Enforcing 2 per minute.", []string{readyEvent}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWritten(t, "status-taken-back")
			foreign := metav1ac.Condition().WithType("Ready").WithStatus(c.status).WithReason("Foreign").WithMessage(c.message).
				WithObservedGeneration(w.account.Generation).WithLastTransitionTime(long)
			apply := accountac.MailAccount(w.account.Name, "default").WithStatus(accountac.MailAccountStatus().WithConditions(foreign).
				WithObservedGeneration(99))
			if err := w.client.Status().Apply(t.Context(), apply, client.FieldOwner("another")); err != nil {
				t.Fatal(err)
			}
			w.settles(1)
			w.wantReady("True", "LimitsEnforced", "Enforcing 2 per minute.")
			if since := w.ready().LastTransitionTime; since.Equal(&long) != c.keeps {
				t.Errorf("the transition was at %v", since)
			}
			w.wantEvents(c.events...)
			w.settles(0)
			if !slices.ContainsFunc(w.account.ManagedFields, func(f metav1.ManagedFieldsEntry) bool {
				return f.Manager == "sluice" && f.Operation == metav1.ManagedFieldsOperationApply && f.Subresource == "status"
			}) {
				t.Errorf("the status is not applied by sluice: %v", w.account.ManagedFields)
			}
		})
	}
}

// TestStatusOfItsObjectAlone deletes the account between its being read and its status being written, and may create
// another of the same name. That one must not get a status that speaks of the old one.
func TestStatusOfItsObjectAlone(t *testing.T) {
	t.Run("deleted and created again", func(t *testing.T) {
		w := newWritten(t, "status-again")
		w.before = func() error {
			w.delete()
			w.create("status-again", 7)
			return nil
		}
		if result, err := w.reconcile(1); err != nil || result.RequeueAfter != settleInterval {
			t.Errorf("it returned %+v, %v", result, err)
		}
		if len(w.account.Status.Conditions) > 0 || w.account.Status.ObservedGeneration != nil {
			t.Errorf("the new object has the status %+v", w.account.Status)
		}
		w.wantEvents()
		w.before = nil
		if result, err := w.reconcile(0); err != nil || result.RequeueAfter == 0 {
			t.Errorf("before the limiter has the new one it returned %+v, %v", result, err)
		}
		w.enforce()
		w.settles(1)
		w.wantReady("True", "LimitsEnforced", "Enforcing 7 per minute.")
	})
	t.Run("deleted", func(t *testing.T) {
		w := newWritten(t, "status-gone")
		w.before = func() error { w.delete(); return nil }
		w.settles(1)
		w.wantEvents()
		if err := w.client.Get(t.Context(), client.ObjectKeyFromObject(w.account), &account{}); !apierrors.IsNotFound(err) {
			t.Errorf("there is a ghost of it: %v", err)
		}
		w.settles(0) // and it is not asked about again
	})
}

// TestStatusOfAStaleCache looks at the account as it was before its status was written. That must not be written, nor
// announced, twice.
func TestStatusOfAStaleCache(t *testing.T) {
	w := newWritten(t, "status-stale")
	stale := w.account.DeepCopy()
	w.settles(1)
	w.wantEvents(readyEvent)
	since := w.ready().LastTransitionTime
	version := w.account.ResourceVersion
	w.seen = func(a *account) { a.MailAccount = *stale.DeepCopy() }
	if result, err := w.reconcile(1); err != nil || result.RequeueAfter != settleInterval {
		t.Errorf("it returned %+v, %v", result, err)
	}
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

// TestStatusThatFails wants a failed write to be tried again, and not to be announced. A replica that stops is no failure.
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
	if result, err := w.reconciler.Reconcile(ctx, ctrl.Request{NamespacedName: client.ObjectKeyFromObject(w.account)}); err != nil || result != (ctrl.Result{}) {
		t.Errorf("a replica that stops returned %+v, %v", result, err)
	}
	w.wantEvents()

	w.before = nil
	w.settles(1)
	w.wantEvents(readyEvent)

	w.reconciler.client = interceptor.NewClient(w.client.(client.WithWatch), interceptor.Funcs{ //nolint:forcetypeassert // it is one
		Get: func(context.Context, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error {
			return away
		},
	})
	if _, err := w.reconcile(0); !errors.Is(err, away) {
		t.Errorf("it returned %v", err)
	}
}
