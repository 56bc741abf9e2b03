package limiter

import "time"

const (
	// memory is how long an ended id is remembered, and maxEnded how many of one account at most: beyond it the
	// oldest are forgotten sooner.
	memory   = int64(15 * time.Minute)
	maxEnded = 16384
)

// state is where a reservation stands.
type state uint8

const (
	outstanding state = iota
	expired           // its deadline passed and it counts as sent then
	committed
	late
	unreserved // a commit of an id that was unknown or released
	released
)

// none is the index of no record.
const none = int32(-1)

// record is one reservation or remembered id.
type record struct {
	id idHash
	// at is the deadline of a reservation, also after it expired; for one that ended otherwise, when it ended.
	at   int64
	cost int32
	// prev and next link the list that the record is in; due is its place in the heap of deadlines.
	prev, next int32
	due        int32
	state      state
}

// list is a queue of records, linked through them.
type list struct{ first, last int32 }

// ledger is the reservations of one account: those outstanding, and the ids of those that ended lately. It does no
// locking.
type ledger struct {
	records []record
	free    int32 // the first of the unused records, linked by next
	byID    idIndex
	// held are the outstanding ones, oldest first; due is a binary heap of the same, soonest deadline first.
	held     list
	due      []int32
	inFlight int64
	// ended are the remembered ones, in the order in which they ended.
	ended      list
	endedCount int
}

func newLedger() *ledger {
	return &ledger{free: none, held: list{none, none}, ended: list{none, none}}
}

// find returns the record of an id, or none.
func (l *ledger) find(id idHash) int32 {
	if l == nil {
		return none
	}
	return l.byID.find(l.records, id)
}

// hold adds an outstanding reservation under an id that is not known.
func (l *ledger) hold(id idHash, cost, deadline int64) {
	i := l.insert(record{id: id, at: deadline, cost: int32(cost), state: outstanding})
	l.append(&l.held, i)
	l.inFlight += cost
	l.records[i].due = int32(len(l.due))
	l.due = append(l.due, i)
	l.up(len(l.due) - 1)
}

// end takes an outstanding reservation out of flight and remembers its id with the state it ended in.
func (l *ledger) end(i int32, as state, at int64) {
	r := &l.records[i]
	l.inFlight -= int64(r.cost)
	l.undue(int(r.due))
	l.unlink(&l.held, i)
	r.state, r.at = as, at
	l.remember(i)
}

// note remembers an id that was never held here.
func (l *ledger) note(id idHash, cost int64, as state, at int64) {
	l.remember(l.insert(record{id: id, at: at, cost: int32(cost), state: as}))
}

func (l *ledger) remember(i int32) {
	l.append(&l.ended, i)
	if l.endedCount++; l.endedCount > maxEnded {
		l.forgetOldest()
	}
}

// forget drops the ids that ended long enough ago. An expired reservation ends when it is expired, which is the order
// of the list; its deadline may be earlier than its neighbours' ends only by as long as nobody looked.
func (l *ledger) forget(now int64) {
	for l.ended.first != none && l.records[l.ended.first].at+memory <= now {
		l.forgetOldest()
	}
}

func (l *ledger) forgetOldest() {
	i := l.ended.first
	l.unlink(&l.ended, i)
	l.endedCount--
	l.byID.remove(l.records[i].id, i)
	l.records[i] = record{next: l.free}
	l.free = i
}

// empty says that the ledger holds and remembers nothing.
func (l *ledger) empty() bool { return l.byID.count == 0 }

// insert puts a record into a free place and indexes it.
func (l *ledger) insert(r record) int32 {
	i := l.free
	if i != none {
		l.free = l.records[i].next
		l.records[i] = r
	} else {
		i = int32(len(l.records))
		l.records = append(l.records, r)
	}
	l.byID.add(r.id, i)
	return i
}

func (l *ledger) append(q *list, i int32) {
	l.records[i].prev, l.records[i].next = q.last, none
	if q.last == none {
		q.first = i
	} else {
		l.records[q.last].next = i
	}
	q.last = i
}

func (l *ledger) unlink(q *list, i int32) {
	prev, next := l.records[i].prev, l.records[i].next
	if prev == none {
		q.first = next
	} else {
		l.records[prev].next = next
	}
	if next == none {
		q.last = prev
	} else {
		l.records[next].prev = prev
	}
}

// The heap of deadlines. Most callers use one TTL, so that a new deadline is the latest and stays where it is appended.

func (l *ledger) sooner(a, b int) bool { return l.records[l.due[a]].at < l.records[l.due[b]].at }

func (l *ledger) swap(a, b int) {
	l.due[a], l.due[b] = l.due[b], l.due[a]
	l.records[l.due[a]].due, l.records[l.due[b]].due = int32(a), int32(b)
}

func (l *ledger) up(k int) {
	for k > 0 && l.sooner(k, (k-1)/2) {
		l.swap(k, (k-1)/2)
		k = (k - 1) / 2
	}
}

func (l *ledger) down(k int) {
	for {
		child := 2*k + 1
		if child >= len(l.due) {
			return
		}
		if child+1 < len(l.due) && l.sooner(child+1, child) {
			child++
		}
		if !l.sooner(child, k) {
			return
		}
		l.swap(k, child)
		k = child
	}
}

// undue takes the k-th element out of the heap.
func (l *ledger) undue(k int) {
	last := len(l.due) - 1
	l.swap(k, last)
	l.due = l.due[:last]
	if k < last {
		l.down(k)
		l.up(k)
	}
}
