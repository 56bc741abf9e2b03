package memory

import (
	"sync/atomic"
	"time"
)

// DefaultMaxReservations bounds the outstanding reservations of all accounts together, unless
// [Options] say otherwise.
const DefaultMaxReservations = 1_000_000

// minShare is the least that an account may hold of the outstanding reservations, unless [Options]
// say otherwise.
const minShare = 1000

// Options are the bounds of a [Limiter]. The zero value is the default.
type Options struct {
	// MaxReservations is how many reservations may be outstanding at a time, over all accounts. 0
	// or less is [DefaultMaxReservations].
	MaxReservations int
	// MaxReservationsPerAccount is how many of them one account may hold. 0 or less is a quarter of
	// MaxReservations, and at least 1,000.
	MaxReservationsPerAccount int
}

// Limiter keeps accounts inside their limits. Make one with [New]. All methods may be called
// concurrently. Accounts share no lock but that of the deadlines, which a check takes once in a
// while.
type Limiter struct {
	accounts *accountMap
	ids      idHasher
	loaded   atomic.Bool
	opened   chan struct{} // closed when loaded becomes true
	draining atomic.Bool
	// cap bounds the outstanding reservations of all accounts. One that expired counts until its
	// account is next used, woken or swept.
	cap       *semaphore
	stripes   atomic.Uint32 // how many accounts were given a part of it
	share     int           // how much of the quota one account may hold
	deadlines *deadlines
	lastSweep atomic.Int64 // when the last sweep of RunSweep ended
}

// New returns a Limiter without accounts. It answers [ErrNotLoaded] until [Limiter.MarkLoaded].
func New(o Options) *Limiter {
	if o.MaxReservations <= 0 {
		o.MaxReservations = DefaultMaxReservations
	}
	if o.MaxReservationsPerAccount <= 0 {
		o.MaxReservationsPerAccount = max(minShare, o.MaxReservations/4)
	}
	return &Limiter{
		accounts: newAccountMap(), ids: newIDHasher(), opened: make(chan struct{}),
		cap: newSemaphore(int64(o.MaxReservations)), share: o.MaxReservationsPerAccount,
		deadlines: newDeadlines(),
	}
}

// MarkLoaded says that every account is known: from now on a missing one is [ErrAccountNotFound].
// It cannot be undone.
func (l *Limiter) MarkLoaded() {
	if l.loaded.CompareAndSwap(false, true) {
		close(l.opened)
	}
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

// Apply creates the account or changes its policy, which holds from the next check; history and
// outstanding reservations stay. An account that exists with another uid was deleted and created
// again: the old one is purged first. The result says whether anything changed.
func (l *Limiter) Apply(k Key, uid string, p Policy) (changed bool) {
	for {
		a := l.accounts.get(k)
		if a == nil {
			if l.accounts.put(&account{key: k, uid: uid, policy: p, stripe: uint8(l.stripes.Add(1))}) {
				return true
			}
			continue // another caller created it meanwhile
		}
		if changed, same := a.setPolicy(uid, p); same {
			return changed
		}
		l.purge(a)
	}
}

// Purge removes the account with its limits, history and reservations, and returns how many entries
// that were: stamps in the history and outstanding reservations. An account that does not exist has
// none.
func (l *Limiter) Purge(k Key) (entries int) {
	if a := l.accounts.get(k); a != nil {
		return l.purge(a)
	}
	return 0
}

func (l *Limiter) purge(a *account) (entries int) {
	l.accounts.remove(a)
	a.mu.Lock()
	defer a.mu.Unlock()
	stamps, held := a.purge()
	l.freed(a, held)
	return stamps + held
}

// PurgeUnlessUID purges the account unless it has this uid, and returns how many entries that were.
func (l *Limiter) PurgeUnlessUID(k Key, uid string) (entries int) {
	if _, same := l.PolicyInForce(k, uid); same {
		return 0
	}
	return l.Purge(k)
}

// Retain purges every account that keep does not want, and returns how many those were.
func (l *Limiter) Retain(keep func(Key) bool) (purged int) {
	var gone []Key
	l.accounts.each(func(a *account) bool {
		if !keep(a.key) {
			gone = append(gone, a.key)
		}
		return true
	})
	for _, k := range gone {
		l.Purge(k)
	}
	return len(gone)
}

// PolicyInForce returns the policy in force for an account, if it exists with this uid; also before
// MarkLoaded.
func (l *Limiter) PolicyInForce(k Key, uid string) (Policy, bool) {
	a := l.accounts.get(k)
	if a == nil {
		return Policy{}, false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.policy, a.uid == uid && !a.purged
}

// Ask is what a check asks for.
type Ask struct {
	// ID names the reservation. It must not be empty, and should be unique within the account for
	// 15 minutes: a check that repeats the ID of an outstanding reservation gets that same
	// reservation.
	ID string
	// Cost is how much of each limit to take, 1..MaxCost.
	Cost int64
	// TTL is how long to hold the slot. After that it counts as sent.
	TTL time.Duration
}

// Check decides whether a send may happen now. If so it holds a slot under ask.ID, until Commit,
// Release, or until ask.TTL has passed. A denied check changes nothing; neither does one that
// returns an error.
func (l *Limiter) Check(now Instant, k Key, ask Ask) (d Decision, err error) {
	if ask.ID == "" || ask.Cost < 1 || ask.Cost > MaxCost || ask.TTL <= 0 {
		return d, ErrInvalid
	}
	a, err := l.lockAndAdvance(now, k)
	if err != nil {
		return d, err
	}
	defer a.mu.Unlock()
	if l.draining.Load() {
		return d, ErrDraining
	}
	if a.policy.Suspended {
		return a.suspended(), nil
	}
	id := l.ids.hash(ask.ID)
	switch place, past := a.reservations.find(id); {
	case place != none:
		return a.repeated(place, now.Mono, ask.Cost)
	case past != nil:
		return d, ErrReservationEnded
	}
	if err := a.decide(&d, now, ask.Cost); err != nil || d.Verdict != Allowed {
		return d, err
	}
	if a.outstandingCount() >= l.share {
		return Decision{}, ErrAccountOverloaded
	}
	if !l.cap.tryAcquire(a.stripe) {
		return Decision{}, ErrOverloaded
	}
	l.wakeBy(a, a.reserve(&d, now.Mono, id, &ask))
	return d, nil
}

// Commit records that the mail of a reservation has left; it counts from now on. It is never
// refused for the state of the reservation: the mail has left. An empty id means the oldest
// outstanding reservation. A cost of 0 means the reservation's, or 1 where there is none; another
// cost is recorded instead. Repeating a commit changes nothing.
func (l *Limiter) Commit(now Instant, k Key, id string, cost int64) (Outcome, error) {
	if cost < 0 || cost > MaxCost {
		return 0, ErrInvalid
	}
	a, err := l.lockAndAdvance(now, k)
	if err != nil {
		return 0, err
	}
	defer a.mu.Unlock()
	if id == "" {
		return l.commitHeld(a, a.oldest(), nil, cost), nil
	}
	hash := l.ids.hash(id)
	place, past := a.reservations.find(hash)
	if past != nil {
		return a.commitEnded(past, cost), nil
	}
	return l.commitHeld(a, place, &hash, cost), nil
}

// commitHeld commits what is held at a place, or if that is none, a send without a reservation.
func (l *Limiter) commitHeld(a *account, place int32, id *idHash, cost int64) Outcome {
	if place == none {
		return a.commitUnknown(id, cost)
	}
	l.freed(a, 1)
	return a.commit(place, cost)
}

// Release gives back the slot of an outstanding reservation, of a send that did not happen. An
// empty id means the oldest outstanding reservation. Releasing twice is harmless; what was
// committed or expired cannot be released.
func (l *Limiter) Release(now Instant, k Key, id string) (Outcome, error) {
	a, err := l.lockAndAdvance(now, k)
	if err != nil {
		return 0, err
	}
	defer a.mu.Unlock()
	place, past := a.oldest(), (*ending)(nil)
	if id != "" {
		place, past = a.reservations.find(l.ids.hash(id))
	}
	switch {
	case place != none:
		a.reservations.end(place, released, a.now)
		l.freed(a, 1)
		return Released, nil
	case past == nil:
		return 0, ErrReservationNotFound
	case past.state == released:
		return Released, nil
	}
	return 0, ErrReservationEnded
}

// lockAndAdvance finds the account, locks it and brings it to the present.
func (l *Limiter) lockAndAdvance(now Instant, k Key) (*account, error) {
	if !l.Loaded() {
		return nil, ErrNotLoaded
	}
	a := l.accounts.get(k)
	if a == nil {
		return nil, ErrAccountNotFound
	}
	a.mu.Lock()
	if a.purged {
		a.mu.Unlock()
		return nil, ErrAccountNotFound
	}
	l.freed(a, a.advance(now.Mono))
	return a, nil
}

// freed gives back the quota of n reservations that are no longer outstanding. Most calls free none
// or one.
func (l *Limiter) freed(a *account, n int) {
	if n > 0 {
		l.cap.release(a.stripe, int64(n))
	}
}
