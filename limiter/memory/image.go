package memory

import (
	"encoding/binary"
	"errors"
	"math"

	"github.com/sluice-mail/sluice/limiter"
)

// Image is a copy of all that an account holds. It keeps its memory for the next copy, so that an
// account is locked no longer than copying takes.
type Image struct {
	now         int64
	sent        history
	ring        []stamp // of sent
	messages    messageSums
	outstanding outstanding // without its heap and table
	ended       endedIDs    // without its table
}

// Copy copies the account into an image, and calls also while the account is still locked. An
// account that was purged is empty.
func (a *Account) Copy(to *Image, also func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	also()
	to.now = a.now
	to.ring = append(to.ring[:0], a.sent.ring...)
	to.sent = a.sent
	to.sent.ring = to.ring
	if m := a.sent.messages; m != nil {
		to.messages = messageSums{ring: append(to.messages.ring[:0], m.ring...), base: m.base}
		to.sent.messages = &to.messages
	}
	o, e := &to.outstanding, &to.ended
	o.all, o.byID.ids, o.oldest = o.all[:0], o.byID.ids[:0], none
	e.ring, e.head, e.n = e.ring[:0], 0, 0
	if r := a.reservations; r != nil {
		o.all = append(o.all, r.outstanding.all...)
		o.byID.ids = append(o.byID.ids, r.outstanding.byID.ids...)
		o.oldest = r.outstanding.oldest
		e.ring = append(e.ring, r.ended.ring...)
		e.head, e.n = r.ended.head, r.ended.n
	}
}

// AppendTo appends the image in the form that [Account.Restore] reads. Numbers are varints.
//
//	now
//	number of stamps, has messages (0 or 1);    of each: time since the last, cost, messages
//	number of outstanding reservations;         of each, the oldest first: id, cost, deadline - now
//	number of ended ids;                        of each, the oldest first: id, at - now, cost, state
func (i *Image) AppendTo(b []byte) []byte {
	b = binary.AppendVarint(b, i.now)
	b = i.appendHistory(b)
	count := 0
	for place := i.outstanding.oldest; place != none; place = i.outstanding.all[place].next {
		count++
	}
	b = binary.AppendUvarint(b, uint64(count))
	for place := i.outstanding.oldest; place != none; place = i.outstanding.all[place].next {
		r := &i.outstanding.all[place]
		b = i.outstanding.byID.ids[place].AppendTo(b)
		b = binary.AppendUvarint(b, uint64(r.cost))
		b = binary.AppendVarint(b, r.deadline-i.now)
	}
	b = binary.AppendUvarint(b, uint64(i.ended.n))
	for k := range i.ended.n {
		e := &i.ended.ring[i.ended.wrap(i.ended.head+k)]
		b = e.id.AppendTo(b)
		b = binary.AppendVarint(b, e.at-i.now)
		b = binary.AppendUvarint(b, uint64(e.cost))
		b = append(b, byte(e.state))
	}
	return b
}

func (i *Image) appendHistory(b []byte) []byte {
	h := &i.sent
	b = binary.AppendUvarint(b, uint64(h.n))
	withMessages := byte(0)
	if h.messages != nil {
		withMessages = 1
	}
	b = append(b, withMessages)
	at := i.now - lengths[limiter.Day]
	for k := range h.n {
		s := h.stamp(k)
		b = binary.AppendVarint(b, s.at-at)
		b = binary.AppendUvarint(b, uint64(s.sum-h.sum(k)))
		at = s.at
		if h.messages != nil {
			b = binary.AppendUvarint(b, uint64(h.messages.sent(h, k, k+1)))
		}
	}
	return b
}

// Held returns how many messages of its last day and how many outstanding reservations the account
// holds, as of the latest call.
func (a *Account) Held() (messages int64, reservations int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.sent.used(limiter.Messages, limiter.Day, a.now), a.reservations.count()
}

// Outstanding visits the outstanding reservations, the oldest first.
func (a *Account) Outstanding(visit func(id IDHash, deadline int64)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.reservations == nil {
		return
	}
	o := &a.reservations.outstanding
	for place := o.oldest; place != none; place = o.all[place].next {
		visit(o.byID.ids[place], o.all[place].deadline)
	}
}

// errImage is returned by [Account.Restore] for bytes that are no image.
var errImage = errors.New("this is no image of an account")

// Restore gives a new account what an image holds, and records nothing.
func (a *Account) Restore(image []byte) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := reader{rest: image}
	a.now = r.varint()
	a.restoreHistory(&r)
	a.restoreReservations(&r)
	if r.failed || len(r.rest) > 0 {
		return errImage
	}
	return nil
}

func (a *Account) restoreHistory(r *reader) {
	n, withMessages := r.count(maxStamps), r.byte() == 1
	if n == 0 {
		return
	}
	h := history{ring: make([]stamp, n), n: int32(n)}
	if withMessages {
		h.messages = &messageSums{ring: make([]uint32, n)}
	}
	at, messages := a.now-lengths[limiter.Day], uint32(0)
	for k := range n {
		at += r.varint()
		h.total += int64(r.uvarint())
		h.ring[k] = stamp{at, h.total}
		if withMessages {
			messages += uint32(r.uvarint())
			h.messages.ring[k] = messages
		}
		r.failed = r.failed || k > 0 && at <= h.ring[k-1].at
	}
	a.sent = h
}

func (a *Account) restoreReservations(r *reader) {
	outstanding := r.count(math.MaxInt32)
	if outstanding > 0 {
		a.reservations = newReservations()
	}
	for range outstanding {
		id, cost, deadline := r.id(), int64(r.uvarint()), a.now+r.varint()
		if r.failed || cost < 1 || cost > limiter.MaxCost {
			r.failed = true
			return
		}
		a.store.reservationCap.acquireBeyond(a.stripe)
		a.reserve(id, cost, deadline)
	}
	ended := r.count(maxRemembered)
	if ended > 0 && a.reservations == nil {
		a.reservations = newReservations()
	}
	for range ended {
		id, at, cost := r.id(), a.now+r.varint(), r.uvarint()
		how := ending{at: at, cost: int32(cost), state: state(r.byte())}
		if r.failed || cost > limiter.MaxCost || how.state > released {
			r.failed = true
			return
		}
		a.reservations.ended.remember(id, how)
	}
}

// reader reads what AppendTo wrote. Once it has failed, all that it returns is zero.
type reader struct {
	rest   []byte
	failed bool
}

func (r *reader) uvarint() uint64 {
	n, size := binary.Uvarint(r.rest)
	if size <= 0 {
		r.rest, r.failed = nil, true
		return 0
	}
	r.rest = r.rest[size:]
	return n
}

func (r *reader) varint() int64 {
	n, size := binary.Varint(r.rest)
	if size <= 0 {
		r.rest, r.failed = nil, true
		return 0
	}
	r.rest = r.rest[size:]
	return n
}

// count reads a number of things, each of which takes at least a byte.
func (r *reader) count(most int) int {
	n := r.uvarint()
	if n > uint64(most) || n > uint64(len(r.rest)) {
		r.rest, r.failed = nil, true
		return 0
	}
	return int(n)
}

func (r *reader) byte() byte {
	if len(r.rest) == 0 {
		r.failed = true
		return 0
	}
	b := r.rest[0]
	r.rest = r.rest[1:]
	return b
}

func (r *reader) id() IDHash {
	if len(r.rest) < idSize {
		r.rest, r.failed = nil, true
		return IDHash{}
	}
	id := ReadIDHash(r.rest)
	r.rest = r.rest[idSize:]
	return id
}
