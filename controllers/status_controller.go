package controllers

import (
	"context"

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

// statusReconciler writes what became of MailAccounts, while this replica is elected.
type statusReconciler struct {
	client  client.Client
	limiter *limiter.Limiter
	events  events.EventRecorder
	elected func() bool
}

// Reconcile writes the status of one account, unless it is as it should be. It never waits: the
// notifier has it called again once the desired policy is in force, and the cache once it has
// another version of the object.
func (r *statusReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	if !r.elected() || !r.limiter.Loaded() {
		return ctrl.Result{}, nil // once it is elected and loaded, it reconciles all accounts
	}
	var account mailAccount
	if err := r.client.Get(ctx, req.NamespacedName, &account); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	policy, inForce := account.policyInForce(r.limiter)
	want, ok := readyCondition(&account, policy, inForce)
	if !ok || !needsUpdate(&account.Status, want) {
		return ctrl.Result{}, nil
	}
	err := r.apply(ctx, &account, want)
	switch {
	case err == nil:
		r.recordEvent(&account, want)
		return ctrl.Result{}, nil
	case ctx.Err() != nil: // this replica stops; the next one that is elected writes it
		return ctrl.Result{}, nil
	case apierrors.IsConflict(err), apierrors.IsNotFound(err):
		return ctrl.Result{}, nil // it was changed or deleted, and the cache does not know yet
	}
	return ctrl.Result{}, err
}

// apply writes the condition. Its transition time moves only when its status changes.
func (r *statusReconciler) apply(
	ctx context.Context, account *mailAccount, want metav1.Condition,
) error {
	since := metav1.Now()
	have := meta.FindStatusCondition(account.Status.Conditions, want.Type)
	if have != nil && have.Status == want.Status {
		since = have.LastTransitionTime
	}
	condition := metav1ac.Condition().
		WithType(want.Type).
		WithStatus(want.Status).
		WithReason(want.Reason).
		WithMessage(want.Message).
		WithObservedGeneration(want.ObservedGeneration).
		WithLastTransitionTime(since)
	status := accountac.MailAccountStatus().
		WithConditions(condition).
		WithObservedGeneration(want.ObservedGeneration)
	// The version makes this a conflict if the account was deleted and created again meanwhile. The
	// uid would not: the API server does not compare it for the status of a custom resource.
	applied := accountac.MailAccount(account.Name, account.Namespace).
		WithResourceVersion(account.ResourceVersion).
		WithStatus(status)
	return r.client.Status().Apply(ctx, applied, fieldOwner, client.ForceOwnership)
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

// setup adds the controller. Besides the accounts that change, it reconciles those that the
// election sends on resync, and those that the notifier tells of.
func (r *statusReconciler) setup(
	mgr ctrl.Manager, resync <-chan event.GenericEvent, notifier *statusNotifier,
) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("status").
		For(&mailAccount{}).
		WatchesRawSource(source.Channel(resync, &handler.EnqueueRequestForObject{})).
		WatchesRawSource(notifier).
		WithOptions(controllerOptions(4)).
		Complete(r)
}
