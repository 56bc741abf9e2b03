package limiter

import (
	"context"
	"time"
)

// SweepInterval is how often [Limiter.RunSweep] goes round.
const SweepInterval = 10 * time.Second

// Sweep brings every account to the present and gives back memory: of sends older than a day, of ids remembered long
// enough, of reservations that expired while nobody asked. No decision depends on it, as every call does the same for
// its own account. One account is locked at a time.
func (l *Limiter) Sweep(now Instant) {
	l.accounts.each(func(_ Key, a *account) bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		l.freed(a.advance(now.Mono))
		a.tidy()
		return true
	})
}

// RunSweep sweeps every [SweepInterval] until the context ends. One is enough.
func (l *Limiter) RunSweep(ctx context.Context, clock Clock) {
	tick := time.NewTicker(SweepInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			l.Sweep(clock.Now())
		}
	}
}

// Stats counts what the limiter holds, for metrics. It visits no account.
type Stats struct {
	Accounts     int
	Reservations int // outstanding, of all accounts
}

// Stats returns the counts.
func (l *Limiter) Stats() Stats {
	return Stats{Accounts: l.accounts.size(), Reservations: int(l.held.Load())}
}
