package server

import (
	"sync/atomic"
	"time"
)

// How many checks are admitted although the queue for cores is too long: so many at once, and so
// many a second for each core. That is a small part of what a core does.
const (
	burstOfChecks       = 1024
	burstChecksOfSecond = 500
)

// bursts tells a burst from overload. Many dispatchers that begin at the same second are served
// within milliseconds, and need not be refused. It is a token bucket, as a GCRA. See
// docs/design/0025-overload.md.
type bursts struct {
	start    time.Time
	interval time.Duration
	until    atomic.Int64 // what was admitted is paid for then, since start
}

func newBursts(cores int) bursts {
	return bursts{
		start: time.Now(), interval: time.Second / time.Duration(burstChecksOfSecond*cores),
	}
}

// hasRoom reports whether one more would be admitted.
func (b *bursts) hasRoom() bool {
	return b.next(b.until.Load(), int64(time.Since(b.start))) != 0
}

// admit admits one more, or reports that there were too many.
func (b *bursts) admit() bool {
	now := int64(time.Since(b.start))
	for {
		until := b.until.Load()
		next := b.next(until, now)
		if next == 0 {
			return false
		}
		if b.until.CompareAndSwap(until, next) {
			return true
		}
	}
}

// next returns until when one more would be paid for, or 0 if it is one too many.
func (b *bursts) next(until, now int64) int64 {
	next := max(until, now) + int64(b.interval)
	if next-now > burstOfChecks*int64(b.interval) {
		return 0
	}
	return next
}
