package controllers

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/source"

	accountac "github.com/sluice-mail/sluice/api/v1alpha1/applyconfiguration/api/v1alpha1"
	"github.com/sluice-mail/sluice/limiter"
)

// fieldOwner owns the fields of the status that Sluice applies.
const fieldOwner = client.FieldOwner("sluice")

// settleInterval is how long to wait for the limiter to enforce what the status is about to claim. The limits
// controller handles the same event at the same time, so that one wait is the exception.
const settleInterval = 20 * time.Millisecond

// statusReconciler writes what became of MailAccounts, while this replica is elected.
type statusReconciler struct {
	client  client.Client
	limiter *limiter.Limiter
	events  events.EventRecorder
	elected func() bool
}

// Reconcile writes the status of one account, if it differs from what it should be.
func (r *statusReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	if !r.elected() {
		return ctrl.Result{}, nil // all accounts come again after the election
	}
	var account mailAccount
	if err := r.client.Get(ctx, req.NamespacedName, &account); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	policy, inForce := account.policyInForce(r.limiter)
	want, settled := readyCondition(&account, policy, inForce)
	if !settled {
		return ctrl.Result{RequeueAfter: settleInterval}, nil
	}
	if !needsUpdate(&account.Status, want) {
		return ctrl.Result{}, nil
	}
	if err := r.apply(ctx, &account, want); err != nil {
		switch {
		case ctx.Err() != nil: // this replica stops; the next one that is elected writes it
			return ctrl.Result{}, nil
		case apierrors.IsConflict(err): // the account is not as it was read; the cache will soon have it as it is
			return ctrl.Result{RequeueAfter: settleInterval}, nil
		}
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	r.recordEvent(&account, want)
	return ctrl.Result{}, nil
}

// apply writes the condition. Its transition time moves only when its status changes.
func (r *statusReconciler) apply(ctx context.Context, account *mailAccount, want metav1.Condition) error {
	want.LastTransitionTime = metav1.Now()
	if have := meta.FindStatusCondition(account.Status.Conditions, want.Type); have != nil && have.Status == want.Status {
		want.LastTransitionTime = have.LastTransitionTime
	}
	condition := metav1ac.Condition().WithType(want.Type).WithStatus(want.Status).WithReason(want.Reason).
		WithMessage(want.Message).WithObservedGeneration(want.ObservedGeneration).WithLastTransitionTime(want.LastTransitionTime)
	status := accountac.MailAccountStatus().WithConditions(condition).WithObservedGeneration(want.ObservedGeneration)
	// The version makes this a conflict if the account was deleted and created again meanwhile. Its uid would not: of a custom
	// resource's status the API server does not compare it.
	return r.client.Status().Apply(ctx,
		accountac.MailAccount(account.Name, account.Namespace).WithResourceVersion(account.ResourceVersion).WithStatus(status),
		fieldOwner, client.ForceOwnership)
}

// recordEvent records an event if the readiness has changed.
func (r *statusReconciler) recordEvent(account *mailAccount, now metav1.Condition) {
	if meta.IsStatusConditionPresentAndEqual(account.Status.Conditions, now.Type, now.Status) {
		return
	}
	kind := corev1.EventTypeNormal
	if now.Status != metav1.ConditionTrue {
		kind = corev1.EventTypeWarning
	}
	r.events.Eventf(account, nil, kind, now.Reason, "Reconcile", "%s", now.Message)
}

// setup adds the controller. What comes on again is reconciled like a change: it is how an election is followed up.
func (r *statusReconciler) setup(mgr ctrl.Manager, resync <-chan event.GenericEvent) error {
	return ctrl.NewControllerManagedBy(mgr).Named("status").For(&mailAccount{}).
		WatchesRawSource(source.Channel(resync, &handler.EnqueueRequestForObject{})).
		WithOptions(controllerOptions(4)).Complete(r)
}
