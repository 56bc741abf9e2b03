package controllers

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-mail/sluice/limiter"
)

// limitsReconciler makes the limiter enforce what MailAccounts say. It runs on every replica,
// elected or not, and nothing else changes the limiter's accounts.
type limitsReconciler struct {
	reader  client.Reader
	limiter *limiter.Limiter
	gate    *readinessGate
	// policyChanged is called after the policy in force of an account has changed.
	policyChanged func(types.NamespacedName)
}

// Reconcile brings one account into the limiter, or out of it.
func (r *limitsReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	log := ctrl.LoggerFrom(ctx)
	var account mailAccount
	err := r.reader.Get(ctx, req.NamespacedName, &account)
	switch {
	case apierrors.IsNotFound(err):
		entries, err := r.limiter.Purge(ctx, keyOf(req.NamespacedName))
		if err != nil {
			return ctrl.Result{}, err
		}
		log.V(1).Info("account purged", "entries", entries)
	case err != nil:
		return ctrl.Result{}, err
	default:
		changed, problem, err := account.enforce(ctx, r.limiter)
		if err != nil {
			return ctrl.Result{}, err
		}
		if problem != nil {
			log.Info("invalid MailAccount left as it was", "problem", problem.Error())
		}
		if changed {
			log.V(1).Info("limits in force", "generation", account.Generation)
			r.policyChanged(req.NamespacedName)
		}
	}
	r.gate.done(req.NamespacedName)
	return ctrl.Result{}, nil
}

func (r *limitsReconciler) setup(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("limits").
		For(&mailAccount{}).
		WithOptions(controllerOptions(1)).
		Complete(r)
}
