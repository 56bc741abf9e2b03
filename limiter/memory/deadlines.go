package memory

import (
	"context"
	"runtime"
	"sync"
	"time"

	"github.com/sluice-mail/sluice/limiter"
)

// expiryPause is the least time between two rounds of [Store.RunExpiry]. It bounds what a burst
// of deadlines costs in wake-ups, and what a call can find left to expire: what fell due within it.
const expiryPause = time.Millisecond

// wakeUp says that a reservation of an account falls due at an instant.
type wakeUp struct {
	at      int64
	account *Account
}

// deadlines is a heap of the accounts' soonest deadlines. It holds one wake-up for most accounts,
// and not one for each reservation: a check touches it only where its deadline is sooner than the
// account's wake-up. What is overtaken by a sooner wake-up, a commit or a purge stays and is
// skipped when its time comes (lazy deletion).
type deadlines struct {
	mu   sync.Mutex // may be taken while an account is locked, never the other way round
	heap []wakeUp
	// sooner has an element after the first wake-up has changed.
	sooner chan struct{}
}

func newDeadlines() *deadlines { return &deadlines{sooner: make(chan struct{}, 1)} }

func (d *deadlines) push(w wakeUp) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.heap = append(d.heap, w)
	k := len(d.heap) - 1
	for ; k > 0 && d.heap[(k-1)/2].at > w.at; k = (k - 1) / 2 {
		d.heap[k] = d.heap[(k-1)/2]
	}
	d.heap[k] = w
	if k == 0 {
		select {
		case d.sooner <- struct{}{}:
		default: // it was told already
		}
	}
}

// popDue removes the first wake-up and returns it, if its time has come.
func (d *deadlines) popDue(now int64) (w wakeUp, due bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.heap) == 0 || d.heap[0].at > now {
		return w, false
	}
	w = d.heap[0]
	last := len(d.heap) - 1
	d.siftDown(d.heap[last], last)
	d.heap[last] = wakeUp{} // an account that was purged must not stay in memory
	d.heap = d.heap[:last]
	if n := cap(d.heap); n > 64 && last < n/4 {
		d.heap = append(make([]wakeUp, 0, n/2), d.heap...)
	}
	return w, true
}

// siftDown puts a wake-up in the place of the first one, in a heap of n.
func (d *deadlines) siftDown(w wakeUp, n int) {
	k := 0
	for child := 1; child < n; child = 2*k + 1 {
		if child+1 < n && d.heap[child+1].at < d.heap[child].at {
			child++
		}
		if w.at <= d.heap[child].at {
			break
		}
		d.heap[k] = d.heap[child]
		k = child
	}
	d.heap[k] = w
}

// first returns the instant of the first wake-up.
func (d *deadlines) first() (at int64, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.heap) == 0 {
		return 0, false
	}
	return d.heap[0].at, true
}

// Expire counts as sent, at their deadlines, the reservations of all accounts whose deadlines have
// passed. No decision depends on it, as every call does the same for its own account; it leaves
// calls less to do. One account is locked at a time, and never for long.
func (s *Store) Expire(now limiter.Instant) {
	for {
		w, due := s.deadlines.popDue(now.Mono)
		if !due {
			return
		}
		for !s.expireStep(w, now.Mono) {
			runtime.Gosched()
		}
	}
}

// expireStep expires some of what is due of an account, and reports whether nothing is left.
func (s *Store) expireStep(w wakeUp, now int64) (done bool) {
	a := w.account
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.purged || a.wakeAt != w.at {
		return true // a sooner wake-up was added since, and has been served
	}
	if !a.advance(now, sweepStep) {
		return false
	}
	a.wakeAt = 0
	if r := a.reservations; r.count() > 0 {
		s.wakeBy(a, r.outstanding.nextDeadline())
	}
	return true
}

// wakeBy wakes the account at a deadline, or sooner. The caller has locked it.
func (s *Store) wakeBy(a *Account, deadline int64) {
	if a.wakeAt == 0 || deadline < a.wakeAt {
		a.wakeAt = deadline
		s.deadlines.push(wakeUp{deadline, a})
	}
}

// RunExpiry calls [Store.Expire] whenever deadlines fall due, until the context ends. One is
// enough.
func (s *Store) RunExpiry(ctx context.Context, clock limiter.Clock) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.deadlines.sooner:
		case <-timer.C:
		}
		now := clock.Now()
		s.Expire(now)
		pause := SweepInterval
		if at, ok := s.deadlines.first(); ok {
			pause = max(expiryPause, time.Duration(at-now.Mono))
		}
		timer.Reset(pause)
	}
}
