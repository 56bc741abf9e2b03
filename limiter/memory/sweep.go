package memory

import (
	"context"
	"runtime"
	"time"

	"github.com/sluice-mail/sluice/limiter"
)

// SweepInterval is how often [Store.RunSweep] goes round.
const SweepInterval = 10 * time.Second

const (
	// sweepStep is how many reservations expire before the account is unlocked again: a burst of a
	// million that expire together must not keep callers waiting.
	sweepStep = 64
	// sweepChunk is how many accounts a sweep takes from the list at a time.
	sweepChunk = 1024
)

// Sweep brings every account to the present and gives back memory: of sends older than a day, of
// ids remembered long enough, of reservations that expired while nobody asked. No decision depends
// on it, as every call does the same for its own account. One account is locked at a time, and
// never for long.
func (s *Store) Sweep(now limiter.Instant) {
	var chunk [sweepChunk]*Account
	for from := 0; ; from += sweepChunk {
		n := s.copyAccounts(chunk[:], from)
		if n == 0 {
			return
		}
		for _, a := range chunk[:n] {
			for !a.sweep(now.Mono) {
				runtime.Gosched()
			}
		}
	}
}

// copyAccounts copies accounts of the list from a place on, and returns how many. One that moves to
// the place of a purged one may be missed by this sweep; the next one gets it.
func (s *Store) copyAccounts(to []*Account, from int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return copy(to, s.accounts[min(from, len(s.accounts)):])
}

// sweep brings the account one step closer to the present, and reports whether it is there.
func (a *Account) sweep(now int64) (done bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.purged {
		return true
	}
	done = a.advance(now, sweepStep)
	if done {
		a.tidy()
	}
	return done
}

// RunSweep sweeps every [SweepInterval] until the context ends. One is enough. See
// [Store.LastSweep].
func (s *Store) RunSweep(ctx context.Context, clock limiter.Clock) {
	s.lastSweep.Store(clock.Now().Mono)
	tick := time.NewTicker(SweepInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.Sweep(clock.Now())
			s.lastSweep.Store(clock.Now().Mono)
		}
	}
}

// LastSweep returns when the last sweep of [Store.RunSweep] ended, as the Mono of its clock, or
// when RunSweep began; 0 before that. One that is long ago tells of an account that stays locked,
// or of a process that no longer gets to run.
func (s *Store) LastSweep() int64 { return s.lastSweep.Load() }
