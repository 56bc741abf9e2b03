package memory

import "time"

// Instant is one reading of the clocks, in nanoseconds.
//
// Windows, stamps and deadlines follow Mono alone, so that a step of the wall clock neither frees nor freezes a slot.
// Wall serves [WindowBoundary] only, whose answers are multiples of a window's length on the wall clock.
type Instant struct {
	// Mono is a monotonic reading: time since any fixed start.
	Mono int64
	// Wall is the time since the Unix epoch.
	Wall int64
}

// Clock reads Instants. The zero Clock is not usable: make one with [StartClock].
type Clock struct{ start time.Time }

// StartClock returns a Clock whose monotonic time starts now.
func StartClock() Clock { return Clock{start: time.Now()} }

// Now reads both clocks at once.
func (c Clock) Now() Instant {
	now := time.Now()
	return Instant{Mono: int64(now.Sub(c.start)), Wall: now.UnixNano()}
}
