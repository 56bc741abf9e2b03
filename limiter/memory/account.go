package memory

import (
	"context"
	"math"
	"sync"

	"github.com/sluice-mail/sluice/limiter"
)

// Account is what one account sent and reserved. Its mutex guards all of it but store, stripe and
// record, which never change, and index, which the store's mutex guards.
type Account struct {
	mu           sync.Mutex
	store        *Store
	now          int64 // the latest Instant that it has seen
	wakeAt       int64 // of its wake-up in the store's deadlines; 0 if it has none
	index        int32 // in the store's list
	stripe       uint8 // of the reservation cap
	purged       bool  // a caller that still has it must answer as if it were not found
	sent         history
	reservations *reservations // nil until the first one
	record       func(Effect)  // is told of each effect, if it is not nil; see OpenRecorded
	// The size is a multiple of 128 bytes: see TestAccountsShareNoCacheLine.
}

var _ limiter.Account = (*Account)(nil)

// lockAndAdvance locks the account and brings it to the present. If it returns an error the account
// is not locked.
func (a *Account) lockAndAdvance(now limiter.Instant) error {
	a.mu.Lock()
	if a.purged {
		a.mu.Unlock()
		return limiter.ErrAccountNotFound
	}
	a.advance(now.Mono, math.MaxInt)
	return nil
}

// advance brings the account to the present: reservations past their deadline become sends at their
// deadline, and what is old enough is forgotten. It expires no more than most reservations; if
// there are more, it stays at the deadline of the last, and reports that it is not done.
func (a *Account) advance(now int64, most int) (done bool) {
	now, done = max(a.now, now), true // callers race to the lock with their readings of the clock
	if r := a.reservations; r != nil {
		n := 0
		for {
			place := r.outstanding.nextExpired(now)
			if place == none {
				break
			}
			if n == most {
				now, done = a.now, false
				break
			}
			a.expire(place)
			n++
		}
		a.releaseCap(n)
		r.ended.forget(now)
	}
	a.now = now
	a.sent.advance(now)
	return done
}

// expire makes a send, at its deadline, of the reservation that expires next. The account is then
// at that instant.
func (a *Account) expire(place int32) {
	a.now = a.reservations.outstanding.all[place].deadline
	r := a.reservations.end(place, expired, a.now)
	a.sent.append(a.now, int64(r.cost))
}

// releaseCap makes room in the reservation cap for n reservations that are no longer outstanding.
// Most calls release none or one.
func (a *Account) releaseCap(n int) {
	if n > 0 {
		a.store.reservationCap.release(a.stripe, int64(n))
	}
}

// Purge implements [limiter.Account]. It returns no error.
func (a *Account) Purge(context.Context) (entries int, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.purged {
		return 0, nil
	}
	return a.purge(), nil
}

// purge forgets everything, and returns how many entries that were.
func (a *Account) purge() (entries int) {
	if a.record != nil {
		a.record(Effect{Kind: Purged, At: a.now})
	}
	outstanding := a.reservations.count()
	entries = int(a.sent.n) + outstanding
	a.releaseCap(outstanding)
	a.sent, a.reservations, a.purged = history{}, nil, true
	a.store.remove(a)
	return entries
}

// tidy gives back the memory that an idle account no longer needs.
func (a *Account) tidy() {
	if r := a.reservations; r != nil {
		r.outstanding.shrink()
		r.ended.shrink()
		if r.empty() {
			a.reservations = nil
		}
	}
	a.sent.shrink()
}
