package redis

import "sync/atomic"

// held counts the outstanding reservations of all accounts, as far as this replica knows. Each
// answer tells how many its account has, with a version by which the later of two answers is known.
type held struct {
	max     int64
	count   atomic.Int64
	pending atomic.Int64 // checks that wait for their answer: each may become a reservation
}

// allowance returns up to how many reservations an account may have that is known to have so many,
// while other checks wait for their answers.
func (h *held) allowance(known, others int64) int64 {
	return max(0, h.max-(h.count.Load()-known)-others)
}

// learn notes what an answer tells of the account: how many reservations it has.
func (a *account) learn(version uint32, count int64, c *call) {
	lineage, when := c.lineage, a.store.clock.elapsed()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed || lineage != a.store.lineage.Load() ||
		a.answered && a.lineage == lineage && int32(version-a.version) < 0 {
		return
	}
	if a.version != version {
		a.denial.Store(nil)
	}
	a.answered, a.version, a.lineage = true, version, lineage
	if c.script != usageScript { // a usage does not prolong the life of the keys
		a.when = when
	}
	a.note(count)
}

// known returns the latest version that this replica has seen, or 0. The store must have it: but
// not what it had before it lost something and was told anew, nor what may have expired.
func (a *account) known() uint32 {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.lineage != a.store.lineage.Load() || a.store.clock.elapsed()-a.when > keepFor/2 {
		return 0
	}
	return a.version
}

// note sets what is known of the account. The caller has locked it.
func (a *account) note(count int64) {
	was := a.count.Swap(count)
	a.store.held.count.Add(count - was)
	if (was > 0) == (count > 0) {
		return
	}
	a.store.mu.Lock()
	defer a.store.mu.Unlock()
	if count > 0 {
		a.store.accounts[a] = struct{}{}
	} else {
		delete(a.store.accounts, a)
	}
}
