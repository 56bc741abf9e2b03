package controllers

import (
	"context"
	"sync/atomic"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
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
	reader  client.Reader
	log     logr.Logger
	queue   atomic.Pointer[requestQueue] // nil until the controller starts
}

// Start takes the queue. The controller calls it before it reconciles its first account.
func (n *statusNotifier) Start(ctx context.Context, queue requestQueue) error {
	n.queue.Store(&queue)
	go n.addAllOnceLoaded(ctx, queue)
	return nil
}

// addAllOnceLoaded makes the status controller reconcile all accounts once the limits are loaded:
// it lets them wait until then, as whoever loads must not wait for whoever tells. If this replica
// is elected later, the election does the same.
func (n *statusNotifier) addAllOnceLoaded(ctx context.Context, queue requestQueue) {
	select {
	case <-n.limiter.Opened():
	case <-ctx.Done():
		return
	}
	if !n.elected() {
		return
	}
	var list mailAccountList
	if err := n.reader.List(ctx, &list, client.UnsafeDisableDeepCopy); err != nil {
		n.log.Error(err, "list MailAccounts once the limits are loaded")
		return
	}
	for i := range list.Items {
		account := ctrl.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])}
		byPriority, ok := queue.(priorityqueue.PriorityQueue[ctrl.Request])
		if !ok {
			queue.Add(account)
			continue
		}
		// All accounts together must not delay one that somebody changes meanwhile.
		byPriority.AddWithOpts(priorityqueue.AddOpts{Priority: new(handler.LowPriority)}, account)
	}
}

// policyChanged makes the status controller reconcile an account again. Before the limits are
// loaded, before the controller starts, or if this replica is not elected, it does nothing: all
// accounts are reconciled after that.
func (n *statusNotifier) policyChanged(name types.NamespacedName) {
	queue := n.queue.Load()
	if queue == nil || !n.elected() || !n.limiter.Loaded() {
		return
	}
	(*queue).Add(ctrl.Request{NamespacedName: name})
}
