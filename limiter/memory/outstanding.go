package memory

// reservation is one outstanding reservation.
type reservation struct {
	deadline int64
	cost     int32
	// prev and next link the reservations in the order of their checks; due is the place in the heap of deadlines.
	prev, next int32
	due        int32
}

// outstanding is the outstanding reservations of one account: by id, by age, and by deadline. It does no locking.
type outstanding struct {
	all  []reservation
	byID idTable // the places are those in all
	free int32   // the first of the unused places, linked by next
	// oldest and newest are the ends of the list by age, none if it is empty.
	oldest, newest int32
	due            []int32 // a binary heap of places, soonest deadline first
	cost           int64   // of all together
}

// initialCapacity is how many reservations there is room for at first.
const initialCapacity = 8

// initialBlock is that initialBlock, which an account uses at every call, in one allocation: see TestAccountsShareNoCacheLine.
type initialBlock struct {
	all   [initialCapacity]reservation
	ids   [initialCapacity]idHash
	slots [2 * initialCapacity]idSlot
	due   [2 * initialCapacity]int32
}

func newOutstanding() outstanding {
	r := new(initialBlock)
	return outstanding{
		all: r.all[:0], byID: newIDTable(r.ids[:0], r.slots[:]), due: r.due[:0],
		free: none, oldest: none, newest: none,
	}
}

func (h *outstanding) count() int { return len(h.due) }

// add holds a reservation under an id that is not held.
func (h *outstanding) add(id idHash, cost, deadline int64) {
	r := reservation{deadline: deadline, cost: int32(cost), prev: h.newest, next: none, due: int32(len(h.due))}
	place := h.free
	if place != none {
		h.free = h.all[place].next
		h.all[place] = r
	} else {
		place = int32(len(h.all))
		h.all = append(h.all, r)
	}
	h.byID.add(id, place)
	if h.newest == none {
		h.oldest = place
	} else {
		h.all[h.newest].next = place
	}
	h.newest = place
	h.due = append(h.due, place)
	h.siftUp(len(h.due) - 1)
	h.cost += cost
}

// remove removes the reservation at a place and returns what it was.
func (h *outstanding) remove(place int32) (id idHash, r reservation) {
	id, r = h.byID.ids[place], h.all[place]
	h.byID.remove(place)
	if r.prev == none {
		h.oldest = r.next
	} else {
		h.all[r.prev].next = r.next
	}
	if r.next == none {
		h.newest = r.prev
	} else {
		h.all[r.next].prev = r.prev
	}
	h.heapRemove(int(r.due))
	h.cost -= int64(r.cost)
	h.all[place].next = h.free
	h.free = place
	return id, r
}

// nextExpired is the place whose deadline comes next, if that is by now; otherwise none.
func (h *outstanding) nextExpired(now int64) int32 {
	if len(h.due) == 0 || h.all[h.due[0]].deadline > now {
		return none
	}
	return h.due[0]
}

// maxMoved bounds how many reservations a shrink moves, and so for how long it keeps the account's callers waiting.
const maxMoved = 4096

// shrink gives back what a burst needed and no longer does.
func (h *outstanding) shrink() {
	if n := h.count(); len(h.all) <= initialCapacity || n >= len(h.all)/4 || n > maxMoved {
		return
	}
	smaller := newOutstanding()
	for place := h.oldest; place != none; place = h.all[place].next {
		smaller.add(h.byID.ids[place], int64(h.all[place].cost), h.all[place].deadline)
	}
	*h = smaller
}

// The heap. Most callers use one TTL, so that a new deadline is the latest and stays where it is appended.

func (h *outstanding) sooner(a, b int) bool {
	return h.all[h.due[a]].deadline < h.all[h.due[b]].deadline
}

func (h *outstanding) swap(a, b int) {
	h.due[a], h.due[b] = h.due[b], h.due[a]
	h.all[h.due[a]].due, h.all[h.due[b]].due = int32(a), int32(b)
}

func (h *outstanding) siftUp(k int) {
	for k > 0 && h.sooner(k, (k-1)/2) {
		h.swap(k, (k-1)/2)
		k = (k - 1) / 2
	}
}

func (h *outstanding) siftDown(k int) {
	for {
		child := 2*k + 1
		if child >= len(h.due) {
			return
		}
		if child+1 < len(h.due) && h.sooner(child+1, child) {
			child++
		}
		if !h.sooner(child, k) {
			return
		}
		h.swap(k, child)
		k = child
	}
}

// heapRemove takes the k-th element out of the heap.
func (h *outstanding) heapRemove(k int) {
	last := len(h.due) - 1
	h.swap(k, last)
	h.due = h.due[:last]
	if k < last {
		h.siftDown(k)
		h.siftUp(k)
	}
}
