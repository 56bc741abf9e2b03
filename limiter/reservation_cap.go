package limiter

import "sync/atomic"

const (
	stripes = 64 // how many parts a quota is dealt to
	maxDeal = 16 // how much a part gets at a time
)

// quota bounds the outstanding reservations of all accounts together. Each check takes one and each commit gives one
// back, on every core at once, so a single counter would be what they all wait for. Instead the quota is dealt out to
// parts, a few at a time, and an account always turns to the same part. The bound is exact: what other parts hold idle
// is taken back from them before anybody is refused.
type quota struct {
	parts [stripes]quotaPart
	max   int64
	deal  int64
	pool  atomic.Int64 // what is not dealt out
}

type quotaPart struct {
	spare atomic.Int64
	_     [120]byte // see TestAccountsShareNoCacheLine
}

func newQuota(limit int64) *quota {
	q := &quota{max: limit, deal: min(maxDeal, max(1, limit/(stripes*maxDeal)))}
	q.pool.Store(limit)
	return q
}

// take takes one, for an account of this part, and says whether there was one.
func (q *quota) take(part uint8) bool {
	spare := &q.parts[part%stripes].spare
	if takeOne(spare) {
		return true
	}
	for {
		left := q.pool.Load()
		if left == 0 {
			break
		}
		if n := min(left, q.deal); q.pool.CompareAndSwap(left, left-n) {
			spare.Add(n - 1)
			return true
		}
	}
	for i := range q.parts {
		if takeOne(&q.parts[i].spare) {
			return true
		}
	}
	return false
}

// takeOne decrements a counter that is above zero.
func takeOne(n *atomic.Int64) bool {
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

// give gives n back, from an account of this part. A part keeps no more than two deals.
func (q *quota) give(part uint8, n int64) {
	spare := &q.parts[part%stripes].spare
	for left := spare.Add(n); left > 2*q.deal; left = spare.Load() {
		if spare.CompareAndSwap(left, q.deal) {
			q.pool.Add(left - q.deal)
			return
		}
	}
}

// taken is how many are taken. While others take and give it is about right.
func (q *quota) taken() int64 {
	left := q.pool.Load()
	for i := range q.parts {
		left += q.parts[i].spare.Load()
	}
	return max(0, q.max-left)
}
