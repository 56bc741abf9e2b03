package controllers

import (
	"context"
	"sync"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-mail/sluice/limiter"
)

// initialLoad opens the limiter once every MailAccount of the first list has been reconciled. That the cache has
// synced is not enough: its objects are still in the queue then, and a check for one of them would be answered 404.
type initialLoad struct {
	cache   cache.Cache
	limiter *limiter.Limiter
	log     logr.Logger

	mu sync.Mutex
	// pending are the accounts to wait for; before the list, those already reconciled are in early. Both are nil
	// once all is loaded.
	pending, early map[types.NamespacedName]struct{}
}

func newInitialLoad(c cache.Cache, l *limiter.Limiter, log logr.Logger) *initialLoad {
	return &initialLoad{cache: c, limiter: l, log: log, early: map[types.NamespacedName]struct{}{}}
}

// NeedLeaderElection is false: every replica loads.
func (i *initialLoad) NeedLeaderElection() bool { return false }

// Start notes what the first list holds.
func (i *initialLoad) Start(ctx context.Context) error {
	var list accountList
	// This waits for the cache to sync. The objects are shared with it, and only their names are read.
	if err := i.cache.List(ctx, &list, client.UnsafeDisableDeepCopy); err != nil {
		return err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.pending = make(map[types.NamespacedName]struct{}, len(list.Items))
	for n := range list.Items {
		name := client.ObjectKeyFromObject(&list.Items[n])
		if _, ok := i.early[name]; !ok {
			i.pending[name] = struct{}{}
		}
	}
	i.early = nil
	i.openIfDone(len(list.Items))
	return nil
}

// done says that an account was reconciled: it is in the limiter, or found to be gone or invalid.
func (i *initialLoad) done(name types.NamespacedName) {
	i.mu.Lock()
	defer i.mu.Unlock()
	switch {
	case i.early != nil:
		i.early[name] = struct{}{}
	case i.pending != nil:
		delete(i.pending, name)
		i.openIfDone(i.limiter.Stats().Accounts)
	}
}

// openIfDone opens the limiter if nothing is pending. The caller holds mu.
func (i *initialLoad) openIfDone(accounts int) {
	if len(i.pending) == 0 {
		i.pending = nil
		i.limiter.MarkLoaded()
		i.log.Info("all limits are loaded; checks are answered from now on", "accounts", accounts)
	}
}
