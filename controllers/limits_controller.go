package controllers

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-mail/sluice/limiter"
)

// limitsReconciler makes the limiter enforce what MailAccounts say. It runs on every replica, elected or not, and is
// the only one that changes accounts of the limiter.
type limitsReconciler struct {
	reader  client.Reader
	limiter *limiter.Limiter
	gate    *readinessGate
}

// Reconcile brings one account into the limiter, or out of it.
func (r *limitsReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	log, key := ctrl.LoggerFrom(ctx), keyOf(req.NamespacedName)
	var account mailAccount
	switch err := r.reader.Get(ctx, req.NamespacedName, &account); {
	case apierrors.IsNotFound(err):
		log.V(1).Info("account purged", "entries", r.limiter.Purge(key))
	case err != nil:
		return ctrl.Result{}, err
	case account.problem() != nil:
		// The limits in force stay, but not those of an object that is gone.
		r.limiter.PurgeUnlessUID(key, string(account.UID))
		log.Info("invalid MailAccount left as it was", "problem", account.problem().Error())
	case r.limiter.Apply(key, string(account.UID), desiredPolicy(&account.Spec)):
		log.V(1).Info("limits in force", "generation", account.Generation)
	}
	r.gate.done(req.NamespacedName)
	return ctrl.Result{}, nil
}

func (r *limitsReconciler) setup(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).Named("limits").For(&mailAccount{}).WithOptions(controllerOptions(1)).Complete(r)
}
