package memory

import "sync/atomic"

const (
	stripes  = 64 // how many stripes a semaphore has
	maxBatch = 16 // how many permits a stripe gets at a time, at most
)

// semaphore is a striped counter of permits. Each check acquires one and each commit releases one,
// on every core at once, so a single counter would be what they all wait for. Instead permits go to
// stripes, a batch at a time, and an account always turns to the same stripe. The bound is exact:
// before anybody is refused, the spare permits of all stripes are tried. See
// docs/design/0005-striped-reservation-cap.md.
type semaphore struct {
	stripes [stripes]stripe
	max     int64
	batch   int64
	pool    atomic.Int64 // permits that no stripe has
}

type stripe struct {
	spare atomic.Int64
	_     [120]byte // see TestAccountsShareNoCacheLine
}

func newSemaphore(permits int64) *semaphore {
	s := &semaphore{max: permits, batch: min(maxBatch, max(1, permits/(stripes*maxBatch)))}
	s.pool.Store(permits)
	return s
}

// tryAcquire acquires a permit, for an account of this stripe, and reports whether there was one.
func (s *semaphore) tryAcquire(stripe uint8) bool {
	spare := &s.stripes[stripe%stripes].spare
	if decrement(spare) {
		return true
	}
	for left := s.pool.Load(); left > 0; left = s.pool.Load() {
		n := min(left, s.batch)
		if s.pool.CompareAndSwap(left, left-n) {
			spare.Add(n - 1)
			return true
		}
	}
	for i := range s.stripes {
		if decrement(&s.stripes[i].spare) {
			return true
		}
	}
	return false
}

// acquireBeyond acquires a permit also where there is none left: for a reservation that was made
// when the bound was higher. Nobody else acquires one before there are any again.
func (s *semaphore) acquireBeyond(stripe uint8) {
	if !s.tryAcquire(stripe) {
		s.pool.Add(-1)
	}
}

// decrement decrements a counter that is above zero, and reports whether it was.
func decrement(n *atomic.Int64) bool {
	for left := n.Load(); left > 0; left = n.Load() {
		if n.CompareAndSwap(left, left-1) {
			return true
		}
	}
	return false
}

// release releases n permits, from an account of this stripe. A stripe keeps at most two batches.
func (s *semaphore) release(stripe uint8, n int64) {
	if s.pool.Load() < 0 { // see acquireBeyond
		s.pool.Add(n)
		return
	}
	spare := &s.stripes[stripe%stripes].spare
	for left := spare.Add(n); left > 2*s.batch; left = spare.Load() {
		if spare.CompareAndSwap(left, s.batch) {
			s.pool.Add(left - s.batch)
			return
		}
	}
}

// inUse returns how many permits are acquired. While others acquire and release it is about right.
func (s *semaphore) inUse() int64 {
	left := s.pool.Load()
	for i := range s.stripes {
		left += s.stripes[i].spare.Load()
	}
	return max(0, s.max-left)
}
