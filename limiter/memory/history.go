package memory

// resolution is how many stamps a window keeps apart. Up to that many are exact; above it, neighbours within
// 1/resolution of the window's length may merge into the later one.
const resolution = 8192

// cells are the widths in which the stamps of each window may merge. Each is a multiple of the one before it, so that
// a stamp that merged as part of the minute and later merges as part of the hour or the day never moves out of its
// largest cell. They are rounded down, which keeps them below 1/resolution of the window.
var cells = [windowCount]int64{
	Minute: windowLengths[Minute] / resolution,
	Hour:   windowLengths[Minute] / resolution * 60,
	Day:    windowLengths[Minute] / resolution * 60 * 24,
}

// maxStamps bounds one history to 28,672 stamps of 16 bytes: 448 KiB. Merging leaves at most resolution+2 stamps to
// each of: the last minute, the rest of the hour, the rest of the day. The 4,096 on top of that are what a merge, which
// visits every stamp, is shared between.
const maxStamps = 3*resolution + 4096

// stamp is one instant at which cost was sent. It holds the running sum of the history up to and including itself:
// the cost between two stamps is a subtraction, and to merge a stamp into the next one is to drop it.
type stamp struct {
	at  int64
	sum int64
}

// history is the sends of one account's last day, in time order, with a total per window. The zero value is empty.
// It does no locking.
type history struct {
	ring []stamp
	head int // index in ring of the oldest stamp
	n    int // number of stamps
	// total is the running sum of everything ever added. It may wrap; only differences are used.
	total int64
	// For each window, skip is how many of the oldest stamps have left it, and before is the running sum up to
	// those. skip[Day] is always 0: what leaves the day is dropped.
	skip   [windowCount]int
	before [windowCount]int64
}

// used is the cost stamped inside the window, as of the last advance.
func (h *history) used(w Window) int64 { return h.total - h.before[w] }

// stamp returns the k-th oldest stamp.
func (h *history) stamp(k int) *stamp {
	if k += h.head; k >= len(h.ring) {
		k -= len(h.ring)
	}
	return &h.ring[k]
}

// advance takes out of each window what has left it by now: a stamp s leaves when now >= s+W. Each stamp leaves each
// window once, so the cost per send is constant, however long the history.
func (h *history) advance(now int64) {
	for w := range Day {
		for h.skip[w] < h.n {
			s := h.stamp(h.skip[w])
			if now < s.at+windowLengths[w] {
				break
			}
			h.before[w] = s.sum
			h.skip[w]++
		}
	}
	for h.n > 0 {
		s := h.stamp(0)
		if now < s.at+windowLengths[Day] {
			break
		}
		h.before[Day] = s.sum
		h.drop()
	}
}

// drop removes the oldest stamp, which has left every window.
func (h *history) drop() {
	if h.head++; h.head == len(h.ring) {
		h.head = 0
	}
	h.n--
	for w := range Day {
		h.skip[w]--
	}
}

// append records cost at an instant that is not before the newest stamp.
func (h *history) append(at, cost int64) {
	h.total += cost
	if h.n > 0 {
		if newest := h.stamp(h.n - 1); newest.at == at {
			newest.sum = h.total
			return
		}
	}
	if h.n == len(h.ring) {
		h.makeRoom()
	}
	h.n++
	*h.stamp(h.n - 1) = stamp{at: at, sum: h.total}
}

// subtract takes back cost that was added at an instant of the last day. It visits the stamps since then.
func (h *history) subtract(at, cost int64) {
	k := h.search(0, func(s *stamp) bool { return s.at >= at })
	for w := range Day {
		if k < h.skip[w] {
			h.before[w] -= cost
		}
	}
	for ; k < h.n; k++ {
		h.stamp(k).sum -= cost
	}
	h.total -= cost
}

// freeAt returns the instant at which at least excess of what is inside the window will have left it. There must be
// as much: excess <= used(w).
func (h *history) freeAt(w Window, excess int64) int64 {
	k := h.search(h.skip[w], func(s *stamp) bool { return s.sum-h.before[w] >= excess })
	return h.stamp(k).at + windowLengths[w]
}

// search returns the first stamp from the k-th on for which reached is true; from there on it must stay true.
func (h *history) search(k int, reached func(*stamp) bool) int {
	for end := h.n; k < end; {
		if middle := int(uint(k+end) >> 1); reached(h.stamp(middle)) {
			end = middle
		} else {
			k = middle + 1
		}
	}
	return k
}

// settle merges now what the next stamp would make merge, so that an instant that is promised after it does not move when
// that stamp comes.
func (h *history) settle() {
	if h.n == maxStamps {
		h.merge()
	}
}

// makeRoom grows a full ring, or merges its stamps once it has its full size.
func (h *history) makeRoom() {
	if len(h.ring) < maxStamps {
		h.resize(min(maxStamps, max(4, 2*len(h.ring))))
		return
	}
	h.merge()
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
	h.ring, h.head = ring, 0
}

// merge drops each stamp whose successor lies in the same cell, and so stands for both. The stamps of the last minute
// have the minute's cells, the older ones of the last hour the hour's, all older ones the day's: what a window
// still needs precisely is never merged coarsely. A window with no more than resolution stamps is left exact.
func (h *history) merge() {
	var class [windowCount]struct{ end, kept int }
	for w := range class {
		class[w].end = h.n
		if w > 0 {
			class[w].end = h.skip[w-1]
		}
	}
	kept := 0
	for w := Day; w < windowCount; w-- { // from the oldest class to the newest; w wraps around below Minute
		crowded := h.n-h.skip[w] > resolution
		var cellEnd int64
		for k := h.skip[w]; k < class[w].end; k++ {
			s := *h.stamp(k)
			if s.at >= cellEnd {
				cellEnd = s.at - s.at%cells[w] + cells[w]
			}
			if crowded && k+1 < class[w].end && h.stamp(k+1).at < cellEnd {
				continue
			}
			*h.stamp(kept) = s
			kept++
		}
		class[w].kept = kept
	}
	h.skip[Hour], h.skip[Minute], h.n = class[Day].kept, class[Hour].kept, kept
}

// shrink gives back memory that the stamps no longer need.
func (h *history) shrink() {
	if h.n == 0 {
		h.resize(0)
	} else if len(h.ring) > 8 && h.n < len(h.ring)/4 {
		h.resize(2 * h.n)
	}
}
