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

// readinessGate opens the limiter once every MailAccount of the first list has been reconciled.
// That the cache has synced is not enough: its objects are still in the queue then, and a check for
// one of them would be answered 404.
type readinessGate struct {
	cache   cache.Cache
	limiter *limiter.Limiter
	log     logr.Logger

	mu sync.Mutex
	// pending are the accounts to wait for; before the list, those already reconciled are in early.
	// Both are nil once all is loaded.
	pending, early map[types.NamespacedName]struct{}
}

func newReadinessGate(c cache.Cache, l *limiter.Limiter, log logr.Logger) *readinessGate {
	return &readinessGate{
		cache:   c,
		limiter: l,
		log:     log,
		early:   map[types.NamespacedName]struct{}{},
	}
}

// NeedLeaderElection is false: every replica loads.
func (g *readinessGate) NeedLeaderElection() bool { return false }

// Start notes what the first list holds.
func (g *readinessGate) Start(ctx context.Context) error {
	var list mailAccountList
	// This waits for the cache to sync. The objects are shared with it, and only their names are
	// read.
	if err := g.cache.List(ctx, &list, client.UnsafeDisableDeepCopy); err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.pending = make(map[types.NamespacedName]struct{}, len(list.Items))
	for n := range list.Items {
		name := client.ObjectKeyFromObject(&list.Items[n])
		if _, ok := g.early[name]; !ok {
			g.pending[name] = struct{}{}
		}
	}
	g.early = nil
	g.openIfDone(len(list.Items))
	return nil
}

// done says that an account was reconciled: it is in the limiter, or found to be gone or invalid.
func (g *readinessGate) done(name types.NamespacedName) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.early != nil:
		g.early[name] = struct{}{}
	case g.pending != nil:
		delete(g.pending, name)
		g.openIfDone(g.limiter.Stats().Accounts)
	}
}

// openIfDone opens the limiter if nothing is pending. The caller holds mu.
func (g *readinessGate) openIfDone(accounts int) {
	if len(g.pending) == 0 {
		g.pending = nil
		g.limiter.MarkLoaded()
		g.log.Info("all limits are loaded; checks are answered from now on", "accounts", accounts)
	}
}
