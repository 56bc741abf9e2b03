package server

import (
	"errors"
	"sync/atomic"
)

// What all requests together may hold in memory at a time. The bodies and responses of single calls
// do not count: they are small, and there are no more of them than connections. See
// docs/design/0012-bounded-memory.md.
const (
	maxBodiesBytes    = 64 << 20 // bodies of batches, beyond their first 16 KiB
	maxResponsesBytes = 64 << 20 // responses to batches and lists

	itemBytes  = 1 << 10 // at least the size of a batch's item with its result
	usageBytes = 2 << 10 // at least the size of an account of a list, while it is converted
)

var (
	errBodies    = errors.New("too many bytes of batches are in flight")
	errResponses = errors.New("too many bytes of responses are in flight")
)

// budget is an amount of memory that requests share.
type budget struct {
	limit int64
	used  atomic.Int64
}

// share is what one request holds of a budget. Its zero value holds nothing.
type share struct {
	of    *budget
	bytes int64
}

// acquire makes the share at least so large, and reports whether the budget allows it. It never
// waits: whoever waits holds memory, too.
func (s *share) acquire(of *budget, bytes int) bool {
	more := int64(bytes) - s.bytes
	if more <= 0 {
		return true
	}
	if of.used.Add(more) > of.limit {
		of.used.Add(-more)
		return false
	}
	s.of, s.bytes = of, int64(bytes)
	return true
}

// release returns the share to its budget.
func (s *share) release() {
	if s.of != nil {
		s.of.used.Add(-s.bytes)
		*s = share{}
	}
}
