package server

import (
	"crypto/rand"
	"strconv"
	"sync/atomic"
)

// idSource makes ids for checks that bring none: what is random of this process, and a number. An id of a process
// before this one can so never name a reservation of this one.
type idSource struct {
	prefix string
	last   atomic.Uint64
}

func newIDSource() *idSource { return &idSource{prefix: rand.Text()[:16] + "-"} }

func (s *idSource) next() string {
	b := make([]byte, 0, 32)
	return string(strconv.AppendUint(append(b, s.prefix...), s.last.Add(1), 36))
}
