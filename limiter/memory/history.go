package memory

import (
	"time"

	"github.com/sluice-mail/sluice/limiter"
)

// resolution is how many stamps a window keeps apart. Up to that many are exact. Above it,
// neighbours within 1/resolution of the window's length may merge into the later one.
const resolution = 8192

// cells are the widths in which the stamps of each window may merge. Each is a multiple of the one
// before it, so that a stamp that merges as part of a window, and later of a longer one, never
// moves out of its largest cell. They are rounded down: below 1/resolution of the window.
var cells = [limiter.Windows]int64{
	limiter.Second: secondCell,
	limiter.Minute: secondCell * 60,
	limiter.Hour:   secondCell * 60 * 60,
	limiter.Day:    secondCell * 60 * 60 * 24,
}

const secondCell = int64(time.Second) / resolution

// lengths are those of the windows, in nanoseconds.
var lengths = func() (all [limiter.Windows]int64) {
	for w := range limiter.Window(limiter.Windows) {
		all[w] = int64(w.Length())
	}
	return all
}()

// maxStamps bounds a history: 504 KiB of stamps, 126 KiB of messages. A merge leaves fewer, even
// where each window is crowded: 8,192 of the last second, of the rest of the minute 59/60 as many,
// and so on. See docs/design/0017-table-of-limits.md.
const maxStamps = 32_256

// stamp is an instant at which something was sent, with the running sum of cost: of all that was
// sent until then. The cost between two stamps is a subtraction; to merge a stamp into the next one
// is to drop it.
type stamp struct {
	at  int64
	sum int64
}

// history is the sends of one account's last day, in time order: a ring of stamps, and for each
// window where it begins. The zero value is empty. It does no locking.
type history struct {
	ring []stamp
	// messages are the running sums of messages. It is nil while each message had cost 1: then they
	// are those of cost.
	messages *messageSums
	// base is the sum before the oldest stamp, and total that of the newest. Sums may wrap: only
	// differences are used.
	base, total int64
	head, n     int32 // where the oldest stamp is in the ring, and how many there are
	// left is how many of the oldest stamps have left each window, as of when it was last slid.
	// What leaves the day is dropped.
	left [limiter.Day]int32
}

// used returns how much was sent inside a window. The history must have been advanced to now.
func (h *history) used(u limiter.Unit, w limiter.Window, now int64) int64 {
	first := h.slide(w, now)
	if u == limiter.Messages && h.messages != nil {
		return h.messages.sent(h, first, h.n)
	}
	return h.total - h.sum(first)
}

// sum returns the running sum of cost before the k-th oldest stamp.
func (h *history) sum(k int32) int64 {
	if k == 0 {
		return h.base
	}
	return h.stamp(k - 1).sum
}

// stamp returns the k-th oldest stamp.
func (h *history) stamp(k int32) *stamp { return &h.ring[h.place(k)] }

// place returns where the k-th oldest stamp is in the ring.
func (h *history) place(k int32) int32 {
	if k += h.head; int(k) >= len(h.ring) {
		k -= int32(len(h.ring))
	}
	return k
}

// slide moves the start of a window to where it is now, and returns the first stamp in it. A stamp
// s leaves when now >= s+W, and not before. Each stamp leaves each window once, so the work for
// each send is constant, however long the history.
func (h *history) slide(w limiter.Window, now int64) int32 {
	if w == limiter.Day {
		return 0 // advance drops what leaves it
	}
	k := h.left[w]
	for k < h.n && now >= h.stamp(k).at+lengths[w] {
		k++
	}
	h.left[w] = k
	return k
}

// advance drops the stamps that have left the day.
func (h *history) advance(now int64) {
	for h.n > 0 && now >= h.stamp(0).at+lengths[limiter.Day] {
		h.drop()
	}
}

// drop removes the oldest stamp.
func (h *history) drop() {
	if h.messages != nil {
		h.messages.base = h.messages.ring[h.head]
	}
	h.base = h.stamp(0).sum
	h.head = h.place(1)
	h.n--
	for w := range h.left {
		h.left[w] = max(0, h.left[w]-1)
	}
}

// append records a message at an instant that is not before the newest stamp.
func (h *history) append(at, cost int64) {
	if cost != 1 && h.messages == nil {
		h.messages = newMessageSums(h)
	}
	h.total += cost
	if h.n > 0 {
		if newest := h.stamp(h.n - 1); newest.at == at {
			newest.sum = h.total
			if h.messages != nil {
				h.messages.ring[h.place(h.n-1)]++
			}
			return
		}
	}
	if int(h.n) == len(h.ring) {
		h.makeRoom(at)
	}
	h.n++
	*h.stamp(h.n - 1) = stamp{at, h.total}
	if h.messages != nil {
		h.messages.append(h)
	}
}

// subtract takes back a message of this cost that was appended at an instant of the last day. It
// visits the stamps since then.
func (h *history) subtract(at, cost int64) {
	first := h.search(0, func(k int32) bool { return h.stamp(k).at >= at })
	for k := first; k < h.n; k++ {
		h.stamp(k).sum -= cost
		if h.messages != nil {
			h.messages.ring[h.place(k)]--
		}
	}
	h.total -= cost
}

// freeAt returns the instant at which at least excess of what is inside a window will have left it.
// There must be as much, and the window must have been slid: see used.
func (h *history) freeAt(u limiter.Unit, w limiter.Window, excess int64) int64 {
	from := int32(0)
	if w != limiter.Day {
		from = h.left[w]
	}
	var k int32
	if m := h.messages; u == limiter.Messages && m != nil {
		k = h.search(from, func(k int32) bool { return m.sent(h, from, k+1) >= excess })
	} else {
		before := h.sum(from)
		k = h.search(from, func(k int32) bool { return h.stamp(k).sum-before >= excess })
	}
	return h.stamp(k).at + lengths[w]
}

// search returns the first stamp from the k-th on for which reached is true; from there on it must
// stay true.
func (h *history) search(k int32, reached func(k int32) bool) int32 {
	for end := h.n; k < end; {
		if middle := k + (end-k)/2; reached(middle) {
			end = middle
		} else {
			k = middle + 1
		}
	}
	return k
}
