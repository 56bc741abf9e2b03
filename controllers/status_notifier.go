package controllers

import (
	"context"
	"sync/atomic"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/handler"

	"github.com/sluice-mail/sluice/limiter"
)

// requestQueue is the queue of a controller.
type requestQueue = workqueue.TypedRateLimitingInterface[ctrl.Request]

// statusNotifier tells the status controller that the policy in force of an account has changed. It
// is a source of that controller, and adds the account to the controller's queue. That never
// blocks, and the queue holds an account at most once.
type statusNotifier struct {
	limiter *limiter.Limiter
	elected func() bool
	queue   atomic.Pointer[requestQueue] // nil until the controller starts
}

// Start takes the queue. The controller calls it before it reconciles its first account.
func (n *statusNotifier) Start(_ context.Context, queue requestQueue) error {
	n.queue.Store(&queue)
	return nil
}

// policyChanged makes the status controller reconcile an account again. Before the controller
// starts, or if this replica is not elected, it does nothing: all accounts are reconciled after
// that.
func (n *statusNotifier) policyChanged(name types.NamespacedName) {
	queue := n.queue.Load()
	if queue == nil || !n.elected() {
		return
	}
	account := ctrl.Request{NamespacedName: name}
	byPriority, ok := (*queue).(priorityqueue.PriorityQueue[ctrl.Request])
	if !ok || n.limiter.Loaded() {
		(*queue).Add(account)
		return
	}
	// An account of the first list must not delay one that somebody changes meanwhile.
	byPriority.AddWithOpts(priorityqueue.AddOpts{Priority: new(handler.LowPriority)}, account)
}
