package limiter

import "context"

// account is what the gate knows of an account. Its policy is nil once it is being purged.
type account struct {
	key    Key
	uid    string
	policy CurrentPolicy
	state  Account // what the store keeps of it
}

// Apply creates the account or changes its policy, which holds from the next check; history and
// outstanding reservations stay. An account that exists with another uid was deleted and created
// again: the old one is purged first. The result reports whether the rules changed; a Generation
// that is new is kept, and changes nothing. An error is that of a purge, and Apply must be called
// again.
func (l *Limiter) Apply(
	ctx context.Context, k Key, uid string, p Policy,
) (changed bool, err error) {
	for {
		a, added := l.accounts.getOrAdd(k, func() *account {
			a := &account{key: k, uid: uid, state: l.store.Open(k, uid)}
			a.policy.Store(&p)
			return a
		})
		if added {
			return true, nil
		}
		before := a.policy.Load()
		if before == nil || a.uid != uid {
			if _, err := l.purge(ctx, a); err != nil {
				return false, err
			}
			continue
		}
		if *before == p {
			return false, nil
		}
		if a.policy.policy.CompareAndSwap(before, &p) {
			return !before.SameRules(p), nil
		}
	}
}

// Purge removes the account with its limits, history and reservations, and returns how many entries
// that were: stamps in the history and outstanding reservations. An account that does not exist has
// none. After an error the account is closed to all calls, and Purge must be called again.
func (l *Limiter) Purge(ctx context.Context, k Key) (entries int, err error) {
	if a := l.accounts.get(k); a != nil {
		return l.purge(ctx, a)
	}
	return 0, nil
}

// PurgeUnlessUID purges the account unless it has this uid; see [Limiter.Purge].
func (l *Limiter) PurgeUnlessUID(ctx context.Context, k Key, uid string) (entries int, err error) {
	if a := l.accounts.get(k); a != nil && a.uid != uid {
		return l.purge(ctx, a)
	}
	return 0, nil
}

// purge closes the account, has the store forget it, and forgets it.
func (l *Limiter) purge(ctx context.Context, a *account) (entries int, err error) {
	a.policy.Store(nil)
	entries, err = a.state.Purge(ctx)
	if err == nil {
		l.accounts.remove(a)
	}
	return entries, err
}

// PolicyInForce returns the policy of an account, if it exists with this uid; also before
// MarkLoaded.
func (l *Limiter) PolicyInForce(k Key, uid string) (Policy, bool) {
	a := l.accounts.get(k)
	if a == nil || a.uid != uid {
		return Policy{}, false
	}
	p := a.policy.Load()
	if p == nil {
		return Policy{}, false
	}
	return *p, true
}
