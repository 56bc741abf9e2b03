package memory

// reservation is one outstanding reservation.
type reservation struct {
	deadline int64
	cost     int32
	// prev and next link the reservations in the order of their checks; due is the place in the
	// heap of deadlines.
	prev, next int32
	due        int32
}

// outstanding is the outstanding reservations of one account: by id, by age, and by deadline. It
// does no locking.
type outstanding struct {
	all  []reservation
	byID idTable // the places are those in all
	free int32   // the first of the unused places, linked by next
	// oldest and newest are the ends of the list by age, none if it is empty.
	oldest, newest int32
	due            []int32 // a binary heap of places, the soonest deadline first
	cost           int64   // of all together
}

// initialCapacity is how many reservations there is room for at first.
const initialCapacity = 8

// initialBlock is the first memory of an account's reservations, which it uses at every call, in
// one allocation: see TestAccountsShareNoCacheLine.
type initialBlock struct {
	all   [initialCapacity]reservation
	ids   [initialCapacity]IDHash
	slots [2 * initialCapacity]idSlot
	due   [2 * initialCapacity]int32
}

func newOutstanding() outstanding {
	b := new(initialBlock)
	return outstanding{
		all: b.all[:0], byID: newIDTable(b.ids[:0], b.slots[:]), due: b.due[:0],
		free: none, oldest: none, newest: none,
	}
}

func (o *outstanding) count() int { return len(o.due) }

// add adds a reservation under an id that is not outstanding.
func (o *outstanding) add(id IDHash, cost, deadline int64) {
	r := reservation{
		deadline: deadline, cost: int32(cost), prev: o.newest, next: none, due: int32(len(o.due)),
	}
	place := o.free
	if place != none {
		o.free = o.all[place].next
		o.all[place] = r
	} else {
		place = int32(len(o.all))
		o.all = append(o.all, r)
	}
	o.byID.add(id, place)
	if o.newest == none {
		o.oldest = place
	} else {
		o.all[o.newest].next = place
	}
	o.newest = place
	o.due = append(o.due, place)
	o.siftUp(len(o.due) - 1)
	o.cost += cost
}

// remove removes the reservation at a place and returns what it was.
func (o *outstanding) remove(place int32) (id IDHash, r reservation) {
	id, r = o.byID.ids[place], o.all[place]
	o.byID.remove(place)
	if r.prev == none {
		o.oldest = r.next
	} else {
		o.all[r.prev].next = r.next
	}
	if r.next == none {
		o.newest = r.prev
	} else {
		o.all[r.next].prev = r.prev
	}
	o.heapRemove(int(r.due))
	o.cost -= int64(r.cost)
	o.all[place].next = o.free
	o.free = place
	return id, r
}

// nextExpired returns the place of the reservation whose deadline comes next, if that has passed,
// or none.
func (o *outstanding) nextExpired(now int64) int32 {
	if len(o.due) == 0 || o.nextDeadline() > now {
		return none
	}
	return o.due[0]
}

// nextDeadline returns the deadline that comes next. There must be one.
func (o *outstanding) nextDeadline() int64 { return o.all[o.due[0]].deadline }

// maxMoved bounds how many reservations a shrink moves, and so how long the account's callers wait.
const maxMoved = 4096

// shrink gives back what a burst needed and no longer does.
func (o *outstanding) shrink() {
	if n := o.count(); len(o.all) <= initialCapacity || n >= len(o.all)/4 || n > maxMoved {
		return
	}
	smaller := newOutstanding()
	for place := o.oldest; place != none; place = o.all[place].next {
		smaller.add(o.byID.ids[place], int64(o.all[place].cost), o.all[place].deadline)
	}
	*o = smaller
}

// The heap. Most callers use one TTL, so that a new deadline is the latest and stays where it is
// appended.

func (o *outstanding) sooner(a, b int) bool {
	return o.all[o.due[a]].deadline < o.all[o.due[b]].deadline
}

func (o *outstanding) swap(a, b int) {
	o.due[a], o.due[b] = o.due[b], o.due[a]
	o.all[o.due[a]].due, o.all[o.due[b]].due = int32(a), int32(b)
}

func (o *outstanding) siftUp(k int) {
	for k > 0 && o.sooner(k, (k-1)/2) {
		o.swap(k, (k-1)/2)
		k = (k - 1) / 2
	}
}

func (o *outstanding) siftDown(k int) {
	for {
		child := 2*k + 1
		if child >= len(o.due) {
			return
		}
		if child+1 < len(o.due) && o.sooner(child+1, child) {
			child++
		}
		if !o.sooner(child, k) {
			return
		}
		o.swap(k, child)
		k = child
	}
}

// heapRemove removes the k-th element of the heap.
func (o *outstanding) heapRemove(k int) {
	last := len(o.due) - 1
	o.swap(k, last)
	o.due = o.due[:last]
	if k < last {
		o.siftDown(k)
		o.siftUp(k)
	}
}
