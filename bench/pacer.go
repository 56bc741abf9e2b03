package bench

import (
	"context"
	"math"
	"sync/atomic"
	"time"
)

// pacer says when requests are due.
type pacer struct {
	start, end time.Time
	rate       float64 // per second; 0: as soon as a connection is free
	taken      atomic.Int64
	sent       atomic.Int64
	stopped    atomic.Int64 // nanoseconds since start, when the first connection found that it is over
}

func startPacer(rate float64, duration time.Duration) *pacer {
	now := time.Now()
	return &pacer{start: now, end: now.Add(duration), rate: rate}
}

// turn is a request that is due.
type turn struct {
	// due is when it should be sent, and what its latency counts from. Zero means: now, and from when it is sent.
	due time.Time
	// timerLate is how late the generator's timer was.
	timerLate time.Duration
}

// next waits for the next turn of a free connection, or returns false at the end.
//
// A request that was due before a connection was free counts from when it was due: its caller would have waited that
// long. Where a free connection waited for the request to become due, that is late only by the generator's own timer (up to
// a millisecond, for Go's on Linux), which says nothing about the server; it counts from when the timer fired.
func (p *pacer) next(ctx context.Context) (turn, bool) {
	if p.rate == 0 {
		return turn{}, ctx.Err() == nil && time.Now().Before(p.end)
	}
	t := turn{due: p.due(p.taken.Add(1) - 1)}
	now := time.Now()
	if !t.due.Before(p.end) || !now.Before(p.end) || ctx.Err() != nil {
		return t, p.stop()
	}
	if wait := t.due.Sub(now); wait > 0 {
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return t, p.stop()
		case <-timer.C:
		}
		t.timerLate = time.Since(t.due)
		t.due = t.due.Add(t.timerLate)
	}
	p.sent.Add(1)
	return t, true
}

// stop notes when it is over, and returns false.
func (p *pacer) stop() bool {
	p.stopped.CompareAndSwap(0, int64(max(1, time.Since(p.start))))
	return false
}

// due is when the k-th request should be sent.
func (p *pacer) due(k int64) time.Time {
	return p.start.Add(time.Duration(float64(k) / p.rate * float64(time.Second)))
}

// unsent is how many requests had become due when it was over, and were never sent for lack of a free connection.
func (p *pacer) unsent() int64 {
	over := min(time.Duration(p.stopped.Load()), p.end.Sub(p.start))
	return max(0, int64(math.Ceil(over.Seconds()*p.rate))-p.sent.Load())
}
