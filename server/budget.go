package server

import (
	"errors"
	"sync/atomic"
)

// What requests may hold in memory at a time, all together. The bodies and answers of single calls
// do not count: they are small, and there are no more of them than connections. See
// docs/design/0012-bounded-memory.md.
const (
	maxBodiesBytes  = 64 << 20 // what was received of batches, beyond their first 16 KiB
	maxAnswersBytes = 64 << 20 // what batches and lists are answered

	itemBytes  = 1 << 10 // at least an item of a batch with its result
	usageBytes = 2 << 10 // at least an account of a list, in the forms that it takes
)

var (
	errBodies  = errors.New("too many bytes of batches are in flight")
	errAnswers = errors.New("too many bytes of answers are in flight")
)

// budget is an amount of memory that requests share.
type budget struct {
	limit int64
	used  atomic.Int64
}

// share is what one request has taken of a budget. Its zero value is nothing.
type share struct {
	of    *budget
	bytes int64
}

// take makes the share as large as that, if the budget allows it. It never waits: whoever waits
// holds memory, too.
func (s *share) take(of *budget, bytes int) bool {
	more := int64(bytes) - s.bytes
	if more > 0 && of.used.Add(more) > of.limit {
		of.used.Add(-more)
		return false
	}
	if more > 0 {
		s.of, s.bytes = of, int64(bytes)
	}
	return true
}

// giveBack makes the share nothing.
func (s *share) giveBack() {
	if s.of != nil {
		s.of.used.Add(-s.bytes)
		*s = share{}
	}
}
