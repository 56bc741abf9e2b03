package memory

import "sync/atomic"

const (
	stripes  = 64 // how many stripes a semaphore has
	maxBatch = 16 // how many permits a stripe gets at a time
)

// semaphore bounds the outstanding reservations of all accounts together. Each check takes one and each commit gives one
// back, on every core at once, so a single counter would be what they all wait for. Instead the semaphore is dealt out to
// parts, a few at a time, and an account always turns to the same part. The bound is exact: what other parts hold idle
// is taken back from them before anybody is refused.
type semaphore struct {
	stripes [stripes]stripe
	max     int64
	batch   int64
	pool    atomic.Int64 // what is not dealt out
}

type stripe struct {
	spare atomic.Int64
	_     [120]byte // see TestAccountsShareNoCacheLine
}

func newSemaphore(limit int64) *semaphore {
	q := &semaphore{max: limit, batch: min(maxBatch, max(1, limit/(stripes*maxBatch)))}
	q.pool.Store(limit)
	return q
}

// tryAcquire takes one, for an account of this part, and says whether there was one.
func (q *semaphore) tryAcquire(part uint8) bool {
	spare := &q.stripes[part%stripes].spare
	if decrement(spare) {
		return true
	}
	for {
		left := q.pool.Load()
		if left == 0 {
			break
		}
		if n := min(left, q.batch); q.pool.CompareAndSwap(left, left-n) {
			spare.Add(n - 1)
			return true
		}
	}
	for i := range q.stripes {
		if decrement(&q.stripes[i].spare) {
			return true
		}
	}
	return false
}

// decrement decrements a counter that is above zero.
func decrement(n *atomic.Int64) bool {
	for {
		left := n.Load()
		if left == 0 {
			return false
		}
		if n.CompareAndSwap(left, left-1) {
			return true
		}
	}
}

// release gives n back, from an account of this part. A part keeps no more than two deals.
func (q *semaphore) release(part uint8, n int64) {
	spare := &q.stripes[part%stripes].spare
	for left := spare.Add(n); left > 2*q.batch; left = spare.Load() {
		if spare.CompareAndSwap(left, q.batch) {
			q.pool.Add(left - q.batch)
			return
		}
	}
}

// inUse is how many are inUse. While others take and give it is about right.
func (q *semaphore) inUse() int64 {
	left := q.pool.Load()
	for i := range q.stripes {
		left += q.stripes[i].spare.Load()
	}
	return max(0, q.max-left)
}
