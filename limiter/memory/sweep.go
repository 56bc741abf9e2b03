package memory

import (
	"context"
	"runtime"
	"time"
)

// SweepInterval is how often [Limiter.RunSweep] goes round.
const SweepInterval = 10 * time.Second

// sweepStep is how many expired reservations a sweep counts as sent before it lets go of the
// account: a burst of a million that expire together must not keep callers waiting.
const sweepStep = 64

// Sweep brings every account to the present and gives back memory: of sends older than a day, of
// ids remembered long enough, of reservations that expired while nobody asked. No decision depends
// on it, as every call does the same for its own account. One account is locked at a time, and
// never for long.
func (l *Limiter) Sweep(now Instant) {
	l.accounts.each(func(a *account) bool {
		for !l.sweep(a, now.Mono) {
			runtime.Gosched()
		}
		return true
	})
}

// sweep brings an account one step closer to the present, and says whether it is there.
func (l *Limiter) sweep(a *account, now int64) (done bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	n, done := a.advanceBy(now, sweepStep)
	l.freed(a, n)
	if done {
		a.tidy()
	}
	return done
}

// RunSweep sweeps every [SweepInterval] until the context ends. One is enough. See
// [Limiter.LastSweep].
func (l *Limiter) RunSweep(ctx context.Context, clock Clock) {
	tick := time.NewTicker(SweepInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			l.Sweep(clock.Now())
			l.lastSweep.Store(clock.Now().Mono)
		}
	}
}

// LastSweep returns when the last sweep of [Limiter.RunSweep] ended, as the Mono of its clock; 0
// before the first. One that is long ago tells of an account that stays locked, or of a process
// that no longer gets to run.
func (l *Limiter) LastSweep() int64 { return l.lastSweep.Load() }
