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
	stopped    atomic.Int64 // when the first connection saw the end, in nanoseconds since start
}

func startPacer(rate float64, duration time.Duration) *pacer {
	now := time.Now()
	return &pacer{start: now, end: now.Add(duration), rate: rate}
}

// turn is a request that is due.
type turn struct {
	// due is when it should be sent; its latency counts from then. The zero time means at once, and
	// then the latency counts from when it is sent.
	due time.Time
	// timerLate is how late the generator's timer was.
	timerLate time.Duration
}

// next waits until the next request is due, or returns false at the end. A request that waits for
// a connection counts from when it was due, as its caller would count. One that a connection waits
// for counts from when the timer fired: how late Go's timers are says nothing about the server.
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

// stop notes when the run ended, and returns false.
func (p *pacer) stop() bool {
	p.stopped.CompareAndSwap(0, int64(max(1, time.Since(p.start))))
	return false
}

// due is when the k-th request should be sent.
func (p *pacer) due(k int64) time.Time {
	return p.start.Add(time.Duration(float64(k) / p.rate * float64(time.Second)))
}

// unsent is how many requests became due and were never sent, because no connection was free.
func (p *pacer) unsent() int64 {
	over := min(time.Duration(p.stopped.Load()), p.end.Sub(p.start))
	return max(0, int64(math.Ceil(over.Seconds()*p.rate))-p.sent.Load())
}
