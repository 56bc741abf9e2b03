package limiter

import (
	"context"
	"sync"
	"sync/atomic"
)

// Limiter keeps accounts inside their limits. It is the gate in front of a [Store]: it knows the
// accounts and their policies, says no while it does not know all of them, and hands each call to
// the store. Make one with [New]. All methods may be called concurrently.
//
// What the store returns as an error is returned as it is; the store in memory has none but those
// of this package.
type Limiter struct {
	store    Store
	accounts *accountMap
	loading  sync.Once
	loaded   atomic.Bool
	opened   chan struct{} // closed when loaded becomes true
	draining atomic.Bool
}

// New returns a Limiter without accounts, over a store that it alone uses. It answers
// [ErrNotLoaded] until [Limiter.MarkLoaded].
func New(store Store) *Limiter {
	return &Limiter{store: store, accounts: newAccountMap(), opened: make(chan struct{})}
}

// MarkLoaded says that every account is known: from now on a missing one is [ErrAccountNotFound],
// and the store forgets what it may have kept of others. It cannot be undone.
func (l *Limiter) MarkLoaded() {
	l.loading.Do(func() {
		l.store.Loaded()
		l.loaded.Store(true)
		close(l.opened)
	})
}

// Opened returns a channel that is closed once MarkLoaded was called.
func (l *Limiter) Opened() <-chan struct{} { return l.opened }

// Loaded reports whether MarkLoaded was called. Readiness is this, and nothing else.
func (l *Limiter) Loaded() bool { return l.loaded.Load() }

// Drain refuses all checks from now on, with [ErrDraining]: another process may be about to take
// over, and two that admit would each admit the whole limit. Everything else goes on, as commits
// and releases of what was allowed must get through. It cannot be undone.
func (l *Limiter) Drain() { l.draining.Store(true) }

// Admits returns why every check is refused at the moment, [ErrNotLoaded] or [ErrDraining], or nil.
func (l *Limiter) Admits() error {
	switch {
	case !l.loaded.Load():
		return ErrNotLoaded
	case l.draining.Load():
		return ErrDraining
	}
	return nil
}

// Check decides whether a send may happen now. If so it holds a slot under ask.ID, until Commit,
// Release, or until ask.TTL has passed. A denied check changes nothing; neither does one that
// returns an error.
func (l *Limiter) Check(ctx context.Context, now Instant, k Key, ask Ask) (Decision, error) {
	a, err := l.forCheck(k, &ask)
	if err != nil {
		return Decision{}, err
	}
	return a.state.Check(ctx, now, &a.policy, ask)
}

// Commit records that the mail of a reservation has left; it counts from now on. It is never
// refused for the state of the reservation: the mail has left. An empty id means the oldest
// outstanding reservation. A cost of 0 means the reservation's, or 1 where there is none; another
// cost is recorded instead. Repeating a commit changes nothing.
func (l *Limiter) Commit(
	ctx context.Context, now Instant, k Key, id string, cost int64,
) (Outcome, error) {
	a, err := l.forCommit(k, cost)
	if err != nil {
		return 0, err
	}
	return a.state.Commit(ctx, now, id, cost)
}

// Release gives back the slot of an outstanding reservation, of a send that did not happen. An
// empty id means the oldest outstanding reservation. Releasing twice is harmless; what was
// committed or expired cannot be released.
func (l *Limiter) Release(ctx context.Context, now Instant, k Key, id string) (Outcome, error) {
	a, err := l.find(k)
	if err != nil {
		return 0, err
	}
	return a.state.Release(ctx, now, id)
}

// Usage reports the state of one account.
func (l *Limiter) Usage(ctx context.Context, now Instant, k Key) (Usage, error) {
	a, err := l.find(k)
	if err != nil {
		return Usage{}, err
	}
	u, err := a.state.Usage(ctx, now, &a.policy)
	u.Key = k
	return u, err
}

// forCheck validates a check, and returns the account that it is for.
func (l *Limiter) forCheck(k Key, ask *Ask) (*account, error) {
	if ask.ID == "" || ask.Cost < 1 || ask.Cost > MaxCost || ask.TTL <= 0 {
		return nil, ErrInvalid
	}
	a, err := l.find(k)
	if err != nil {
		return nil, err
	}
	if l.draining.Load() {
		return nil, ErrDraining
	}
	return a, nil
}

// forCommit validates a commit, and returns the account that it is for.
func (l *Limiter) forCommit(k Key, cost int64) (*account, error) {
	if cost < 0 || cost > MaxCost {
		return nil, ErrInvalid
	}
	return l.find(k)
}

// find returns an account that may be called.
func (l *Limiter) find(k Key) (*account, error) {
	if !l.Loaded() {
		return nil, ErrNotLoaded
	}
	a := l.accounts.get(k)
	if a == nil || a.policy.Load() == nil {
		return nil, ErrAccountNotFound
	}
	return a, nil
}
