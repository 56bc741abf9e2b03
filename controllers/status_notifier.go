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

// statusNotifier tells the status controller that another policy of an account is in force. It is a
// source of that controller. It adds to the controller's queue, which never blocks and holds an
// account at most once.
type statusNotifier struct {
	limiter *limiter.Limiter
	elected func() bool
	queue   atomic.Pointer[statusQueue]
}

type statusQueue struct {
	workqueue.TypedRateLimitingInterface[ctrl.Request]
}

// Start gets the queue. The controller calls it before it reconciles its first account.
func (n *statusNotifier) Start(
	_ context.Context, queue workqueue.TypedRateLimitingInterface[ctrl.Request],
) error {
	n.queue.Store(&statusQueue{queue})
	return nil
}

// inForce has the status controller reconcile an account again. Without a queue, or without the
// election, it need not: the controller reconciles all accounts when it starts, and once elected.
func (n *statusNotifier) inForce(name types.NamespacedName) {
	queue := n.queue.Load()
	if queue == nil || !n.elected() {
		return
	}
	account := ctrl.Request{NamespacedName: name}
	byPriority, ok := queue.TypedRateLimitingInterface.(priorityqueue.PriorityQueue[ctrl.Request])
	if !ok || n.limiter.Loaded() {
		queue.Add(account)
		return
	}
	// The accounts of the first list let those go first that somebody changes now.
	byPriority.AddWithOpts(priorityqueue.AddOpts{Priority: new(handler.LowPriority)}, account)
}
