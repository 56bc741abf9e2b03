package memory

// messageSums are the running sums of messages of a history: one for each of its stamps, at the
// same place. They count modulo 2^32, which is 49,710 messages a second for a day.
type messageSums struct {
	ring []uint32
	base uint32 // the sum before the oldest stamp
}

// newMessageSums returns the sums of a history whose messages have all had cost 1.
func newMessageSums(h *history) *messageSums {
	m := &messageSums{ring: make([]uint32, len(h.ring)), base: uint32(h.base)}
	for k := range h.n {
		m.ring[h.place(k)] = uint32(h.stamp(k).sum)
	}
	return m
}

// sent returns how many messages the stamps from one on, up to but without another, stand for.
func (m *messageSums) sent(h *history, from, to int32) int64 {
	return int64(m.sum(h, to) - m.sum(h, from))
}

// sum returns the running sum before the k-th oldest stamp.
func (m *messageSums) sum(h *history, k int32) uint32 {
	if k == 0 {
		return m.base
	}
	return m.ring[h.place(k-1)]
}

// append counts the message of the newest stamp, which was just made.
func (m *messageSums) append(h *history) {
	m.ring[h.place(h.n-1)] = m.sum(h, h.n-1) + 1
}
