package memory

import "time"

// Usage is the state of one account.
type Usage struct {
	Key      Key
	Policy   Policy
	InFlight int64
	// Windows is indexed by Window; Full and FreeIn are those of a cost of 1.
	Windows [windowCount]WindowUsage
	// Full says that a check of cost 1 would be denied now, for want of a slot. NextSlot is then how long until
	// the earliest slot, whatever the account's DeferTo.
	Full     bool
	NextSlot time.Duration
}

// Usage reports the state of one account.
func (l *Limiter) Usage(now Instant, k Key) (Usage, error) {
	a, err := l.lockAndAdvance(now, k)
	if err != nil {
		return Usage{}, err
	}
	defer a.mu.Unlock()
	return a.usage(k, now.Mono), nil
}

func (a *account) usage(k Key, now int64) Usage {
	u := Usage{Key: k, Policy: a.policy, InFlight: a.inFlight()}
	a.report(&u.Windows, now, 1)
	for w := range u.Windows {
		u.Full = u.Full || u.Windows[w].Full
		u.NextSlot = max(u.NextSlot, u.Windows[w].FreeIn)
	}
	return u
}

// List reports accounts in the order of their keys: those of one namespace, or of all if it is empty, that come after
// a key, at most limit of them. More says whether there are any beyond. An account that is created or deleted while
// the pages are read may or may not be in them; no other one is missed or repeated.
func (l *Limiter) List(now Instant, namespace string, after Key, limit int) (page []Usage, more bool, err error) {
	if !l.Loaded() {
		return nil, false, ErrNotLoaded
	}
	keys := l.accounts.keysAfter(namespace, after, limit+1)
	if more = len(keys) > limit; more {
		keys = keys[:limit]
	}
	page = make([]Usage, 0, len(keys))
	for _, k := range keys {
		if u, err := l.Usage(now, k); err == nil { // else it was deleted meanwhile
			page = append(page, u)
		}
	}
	return page, more, nil
}
