package controllers

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/sluice-mail/sluice/api/v1alpha1"
	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/memory"
	"github.com/sluice-mail/sluice/test/controlplane"
)

// written is a status reconciler at a real API server, called by hand, and one account there.
type written struct {
	t          *testing.T
	client     client.Client // the test's own
	reconciler *statusReconciler
	events     chan string
	account    *mailAccount
	applies    int                // how many statuses were sent
	seen       func(*mailAccount) // changes what the reconciler reads
	before     func() error       // comes before a status is sent
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
		limiter: limiter.New(memory.New(memory.Options{})),
		events:  &events.FakeRecorder{Events: w.events, Verbose: true},
		elected: func() bool { return true },
		client:  interceptor.NewClient(c, interceptor.Funcs{Get: w.get, SubResourceApply: w.apply}),
	}
	w.reconciler.limiter.MarkLoaded()
	w.create(name, 2)
	w.enforce()
	return w
}

func (w *written) get(ctx context.Context, c client.WithWatch, k client.ObjectKey,
	into client.Object, opts ...client.GetOption) error {
	err := c.Get(ctx, k, into, opts...)
	if a, ok := into.(*mailAccount); ok && err == nil && w.seen != nil {
		w.seen(a)
	}
	return err
}

func (w *written) apply(ctx context.Context, c client.Client, subresource string,
	status runtime.ApplyConfiguration, opts ...client.SubResourceApplyOption) error {
	w.applies++
	if w.before != nil {
		if err := w.before(); err != nil {
			return err
		}
	}
	return c.SubResource(subresource).Apply(ctx, status, opts...)
}

// create makes an account that is gone after the test.
func (w *written) create(name string, limit int32) {
	w.t.Helper()
	w.account = &mailAccount{MailAccount: v1alpha1.MailAccount{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"},
		Spec:       v1alpha1.MailAccountSpec{Limits: &v1alpha1.Limits{PerMinute: &limit}},
	}}
	if err := w.client.Create(w.t.Context(), w.account); err != nil {
		w.t.Fatal(err)
	}
	created := w.account.DeepCopy()
	w.t.Cleanup(func() {
		err := w.client.Delete(context.Background(), &mailAccount{MailAccount: *created})
		if client.IgnoreNotFound(err) != nil {
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
	w.t.Helper()
	_, problem, err := w.account.enforce(w.t.Context(), w.reconciler.limiter)
	if problem != nil || err != nil {
		w.t.Fatal(problem, err)
	}
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

// reconcile looks at the account once, and reads what has become of it. It wants so many statuses
// to be sent.
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
		Type: "Ready", Status: status, Reason: reason, Message: message,
		ObservedGeneration: w.account.Generation, LastTransitionTime: have.LastTransitionTime,
	}
	if diff := cmp.Diff(want, *have); diff != "" {
		w.t.Error(diff)
	}
	if g := w.account.Status.ObservedGeneration; g == nil || *g != w.account.Generation {
		w.t.Errorf("the status speaks of generation %v, want %d", g, w.account.Generation)
	}
}
