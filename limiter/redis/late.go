package redis

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-mail/sluice/limiter"
)

// A commit or a release that could not be stored is stored later, by its id: the mail has left, or
// has not, whatever the caller does next. One without an id is the caller's alone to repeat: later
// it might end another reservation. What is never stored only makes Sluice count more: the
// reservation counts as sent at its deadline.

const (
	maxLate   = 10_000
	lateFor   = 15 * time.Minute // as long as an ended id is remembered
	lateAgain = time.Second
)

// late is one such call.
type late struct {
	account *account
	verb    limiter.Verb // ToCommit or ToRelease
	id      string
	cost    int64
	since   time.Duration
}

// lateCalls are those that wait, in order.
type lateCalls struct {
	wake  chan struct{}
	count atomic.Int64 // how many wait

	mu      sync.Mutex
	waiting []late
	dropped int // since anybody asked
}

// add has a call made in the background, unless too many wait.
func (l *lateCalls) add(one late) {
	one.since = one.account.store.clock.elapsed()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) >= maxLate {
		l.dropped++
		return
	}
	l.waiting = append(l.waiting, one)
	l.count.Store(int64(len(l.waiting)))
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// cancel drops the release of an id that is asked for again: whoever asks means to use it.
func (l *lateCalls) cancel(a *account, id string) {
	if l.count.Load() == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting = slices.DeleteFunc(l.waiting, func(one late) bool {
		return one.account == a && one.verb == limiter.ToRelease && one.id == id
	})
	l.count.Store(int64(len(l.waiting)))
}

// first returns the call that waits longest. It drops those that have waited too long.
func (l *lateCalls) first(now time.Duration) (one late, dropped int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.waiting) > 0 && now-l.waiting[0].since > lateFor {
		l.waiting = l.waiting[1:]
		l.dropped++
	}
	l.count.Store(int64(len(l.waiting)))
	dropped, l.dropped = l.dropped, 0
	if len(l.waiting) == 0 {
		return one, dropped, false
	}
	return l.waiting[0], dropped, true
}

// done removes a call.
func (l *lateCalls) done(made late) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.Index(l.waiting, made); i >= 0 { // not where it was canceled meanwhile
		l.waiting = slices.Delete(l.waiting, i, i+1)
	}
	l.count.Store(int64(len(l.waiting)))
}

// run makes the calls while the store is good, until the context ends.
func (l *lateCalls) run(ctx context.Context, s *Store) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.wake:
		case <-time.After(lateAgain):
		}
		for ctx.Err() == nil {
			one, dropped, ok := l.first(s.clock.elapsed())
			if dropped > 0 {
				s.metrics.late.WithLabelValues("dropped").Add(float64(dropped))
				s.options.Log.Info("commits and releases are given up that redis could not take",
					"calls", dropped)
			}
			if !ok || s.health.up() != nil || !one.make(ctx) {
				break
			}
			l.done(one)
			s.metrics.late.WithLabelValues("stored").Inc()
		}
	}
}

// make makes the call. It reports whether that is done with.
func (l *late) make(ctx context.Context) bool {
	a := l.account
	now := limiter.Instant{Mono: a.store.latest.Load()}
	c := a.releaseCall(now, l.id)
	if l.verb == limiter.ToCommit {
		c = a.commitCall(now, l.id, l.cost)
	}
	_, err := a.end(ctx, &c)
	return err != limiter.ErrStoreUnavailable //nolint:errorlint // it is never wrapped
}
