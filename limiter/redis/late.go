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
	told    bool // nobody else knows the id: a release that comes before its check counts
	since   time.Duration
}

// lateCalls are those that wait, in order.
type lateCalls struct {
	wake  chan struct{}
	count atomic.Int64 // how many wait, or are being made
	busy  sync.Mutex   // while one is being made

	mu      sync.Mutex
	waiting []late
	making  late // none has no account
	dropped int  // since anybody asked
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
	l.note()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// cancel drops the release of an id that is asked for again: whoever asks means to use it. One that
// is being made is waited for.
func (l *lateCalls) cancel(a *account, id string) {
	if l.count.Load() == 0 {
		return
	}
	isIt := func(one late) bool {
		return one.account == a && one.verb == limiter.ToRelease && one.id == id
	}
	l.mu.Lock()
	l.waiting = slices.DeleteFunc(l.waiting, isIt)
	making := isIt(l.making)
	l.note()
	l.mu.Unlock()
	if making {
		l.busy.Lock()   // until it is made
		l.busy.Unlock() //nolint:staticcheck // it protects nothing
		l.mu.Lock()
		l.waiting = slices.DeleteFunc(l.waiting, isIt)
		l.note()
		l.mu.Unlock()
	}
}

// note counts what waits. The caller has locked it.
func (l *lateCalls) note() {
	n := len(l.waiting)
	if l.making.account != nil {
		n++
	}
	l.count.Store(int64(n))
}

// drop drops those that have waited too long, and returns how many were dropped since it was asked.
func (l *lateCalls) drop(now time.Duration) (dropped int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	waiting := len(l.waiting)
	l.waiting = slices.DeleteFunc(l.waiting, func(one late) bool { return now-one.since > lateFor })
	dropped, l.dropped = l.dropped+waiting-len(l.waiting), 0
	l.note()
	return dropped
}

// next makes the first call that waits, and puts it behind the others if that fails.
func (l *lateCalls) next(ctx context.Context) (made, some bool) {
	l.busy.Lock()
	defer l.busy.Unlock()
	l.mu.Lock()
	if len(l.waiting) == 0 {
		l.mu.Unlock()
		return false, false
	}
	one := l.waiting[0]
	l.waiting, l.making = l.waiting[1:], one
	l.note()
	l.mu.Unlock()
	made = one.make(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.making = late{}
	if !made {
		l.waiting = append(l.waiting, one)
	}
	l.note()
	return made, true
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
		if dropped := l.drop(s.clock.elapsed()); dropped > 0 {
			s.metrics.late.WithLabelValues("dropped").Add(float64(dropped))
			s.options.Log.Info("commits and releases are given up that redis could not take",
				"calls", dropped)
		}
		for range l.count.Load() { // each once: one that the server refuses holds up no other
			if ctx.Err() != nil || s.health.up() != nil {
				break
			}
			made, some := l.next(ctx)
			if !some {
				break
			}
			if made {
				s.metrics.late.WithLabelValues("stored").Inc()
			}
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
	if l.told {
		c.with(1)
	}
	_, err := a.end(ctx, &c)
	return err != limiter.ErrStoreUnavailable //nolint:errorlint // it is never wrapped
}
