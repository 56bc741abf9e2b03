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

// readinessGate opens the limiter once every MailAccount of the first list has been reconciled. A
// synced cache is not enough: its accounts are still in the queue, and a check would get a 404.
type readinessGate struct {
	cache   cache.Cache
	limiter *limiter.Limiter
	log     logr.Logger

	mu      sync.Mutex
	early   map[types.NamespacedName]struct{} // reconciled before the list was read; nil afterwards
	pending map[types.NamespacedName]struct{} // of the list, still to be reconciled; nil once open
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

// Start waits for the cache to sync, and notes which accounts it holds.
func (g *readinessGate) Start(ctx context.Context) error {
	var list mailAccountList
	// The cache shares its objects with this list; only their names are read.
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

// done notes that an account was reconciled: it is in the limiter, or it is gone or invalid.
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
