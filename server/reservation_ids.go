package server

import (
	"crypto/rand"
	"strconv"
	"sync/atomic"
)

// reservationIDs makes the ids of reservations whose checks bring none. An id is a random prefix,
// made once for each process, and a number: no id is that of a reservation of an earlier process.
type reservationIDs struct {
	prefix string
	last   atomic.Uint64
}

func newReservationIDs() *reservationIDs {
	return &reservationIDs{prefix: rand.Text()[:16] + "-"}
}

func (s *reservationIDs) next() string {
	b := make([]byte, 0, 32)
	return string(strconv.AppendUint(append(b, s.prefix...), s.last.Add(1), 36))
}
