package limiter

import (
	"sync/atomic"
	"time"
)

// Instant is one reading of the clocks, in nanoseconds.
//
// Windows, stamps and deadlines follow Mono alone, so that a step of the wall clock neither frees
// nor freezes a slot. Wall serves [WindowBoundary], whose answers are multiples of a window's
// length on the wall clock, and turns durations into the times that callers are told.
type Instant struct {
	// Mono never goes back and never jumps while the process runs. It counts from the Unix epoch,
	// as the wall clock had it when the process started: so the Instants of two processes on one
	// machine can be compared, as well as its clock was right.
	Mono int64
	// Wall is the time since the Unix epoch, as the wall clock has it now.
	Wall int64
}

// Clock reads Instants. The zero Clock is not usable: make one with [StartClock].
type Clock struct {
	start time.Time
	ahead *atomic.Int64 // of what Mono would be without Set
}

// StartClock returns a Clock that takes the wall clock as it is now for the start of its monotonic
// time.
func StartClock() Clock { return Clock{start: time.Now(), ahead: new(atomic.Int64)} }

// Now reads both clocks at once.
func (c Clock) Now() Instant {
	now := time.Now()
	mono := c.start.UnixNano() + int64(now.Sub(c.start)) + c.ahead.Load()
	return Instant{Mono: mono, Wall: now.UnixNano()}
}

// Set makes an instant the present, as far as Mono goes. It is for a store that knows how far time
// has come: before the first call of a process, or to catch up later, and then never back.
func (c Clock) Set(mono int64) { c.ahead.Add(mono - c.Now().Mono) }
