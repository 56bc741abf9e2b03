package memory

import (
	"math"

	"github.com/sluice-mail/sluice/limiter"
)

// How a history stays within its bounds: it grows, merges and shrinks.

// settle merges now what the next stamp would make merge, so that an instant that is promised after
// it does not move when that stamp comes. It reports whether there was anything to merge.
func (h *history) settle(now int64) (merged bool) {
	if h.n < maxStamps {
		return false
	}
	h.merge(now)
	return true
}

// makeRoom grows a full ring, or merges its stamps once it has its full size.
func (h *history) makeRoom(now int64) {
	if len(h.ring) < maxStamps {
		h.resize(min(maxStamps, max(4, 2*len(h.ring))))
		return
	}
	h.advance(now)
	if int(h.n) == len(h.ring) {
		h.merge(now)
	}
}

// resize moves the stamps to a ring of another size, which must hold them. A size of 0 frees it.
func (h *history) resize(size int) {
	var ring []stamp
	if size > 0 {
		ring = make([]stamp, size)
		for k := range h.n {
			ring[k] = *h.stamp(k)
		}
	}
	if m := h.messages; m != nil {
		sums := make([]uint32, size)
		for k := range h.n {
			sums[k] = m.ring[h.place(k)]
		}
		m.ring = sums
	}
	h.ring, h.head = ring, 0
}

// merge drops each stamp whose successor lies in the same cell, and so stands for both. Each stamp
// has the cells of the shortest window that it is in: what a window still needs precisely is never
// merged coarsely. A window with no more than resolution stamps is left exact.
func (h *history) merge(now int64) {
	for w := range limiter.Day {
		h.slide(w, now)
	}
	var kept, k int32
	for _, w := range []limiter.Window{limiter.Day, limiter.Hour, limiter.Minute, limiter.Second} {
		end := h.n
		if w > 0 {
			end = h.left[w-1]
		}
		crowded := h.n-k > resolution
		var at, next, cellEnd int64
		if k < end {
			next = h.stamp(k).at
		}
		for ; k < end; k++ {
			at, next = next, math.MaxInt64
			if k+1 < end {
				next = h.stamp(k + 1).at
			}
			if at >= cellEnd {
				cellEnd = at - at%cells[w] + cells[w]
			}
			if !crowded || next >= cellEnd {
				h.move(k, kept)
				kept++
			}
		}
		if w > 0 {
			h.left[w-1] = kept
		}
	}
	h.n = kept
}

// move makes the k-th oldest stamp the to-th.
func (h *history) move(k, to int32) {
	*h.stamp(to) = *h.stamp(k)
	if h.messages != nil {
		h.messages.ring[h.place(to)] = h.messages.ring[h.place(k)]
	}
}

// shrink gives back memory that the stamps no longer need.
func (h *history) shrink() {
	switch {
	case h.n == 0:
		*h = history{}
	case len(h.ring) > 8 && int(h.n) < len(h.ring)/4:
		h.resize(2 * int(h.n))
	}
}
