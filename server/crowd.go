package server

import (
	"sync/atomic"
	"time"
)

// When a queue for cores is overload, and no burst that is over in a moment.
const (
	crowdAfter = 100 * time.Millisecond // it was too long all the while
	crowdLasts = time.Second            // from the last time that it was too long
)

// crowd tells overload from a burst. Many dispatchers that begin at the same second are served
// within milliseconds, and need not be refused. See docs/design/0025-overload.md.
type crowd struct {
	start time.Time
	since atomic.Int64 // when the queue became too long, since start; 0 while it is not
	until atomic.Int64 // until when it is overload, since start
}

// refuses reports whether one more is refused while the queue is too long, or not.
func (c *crowd) refuses(tooLong bool) bool {
	if !tooLong {
		if c.since.Load() != 0 {
			c.since.Store(0)
		}
		return false
	}
	now := max(1, int64(time.Since(c.start)))
	since := c.since.Load()
	if since == 0 && c.since.CompareAndSwap(0, now) {
		since = now
	}
	isOverload := now < c.until.Load() || since != 0 && now-since >= int64(crowdAfter)
	if isOverload {
		c.until.Store(now + int64(crowdLasts))
	}
	return isOverload
}
