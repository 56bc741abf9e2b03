package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/limitertest"
)

var clock = limiter.StartClock()

func ask(id string) limiter.Ask { return limiter.Ask{ID: id, Cost: 1, TTL: 10 * time.Minute} }

// load is callers who send as long as they may.
type load struct {
	*books
	t        *testing.T
	key      limiter.Key
	replicas []*replica

	allowed atomic.Int64 // checks
	refused atomic.Int64 // calls, as the store was in doubt
	denied  atomic.Int64 // checks
	full    atomic.Bool  // the hour's limit was reached

	stop   context.CancelFunc
	ending context.Context
	wg     sync.WaitGroup
}

// books are kept of an account, whoever sends.
type books struct {
	provider *limitertest.Provider // of all that was sent
	ids      atomic.Int64
	// doubts are checks and releases of whose effect nobody was told: each may hold a slot.
	doubts atomic.Int64
}

const (
	callers = 8
	tries   = 200 // of a call that is refused
	again   = 5 * time.Millisecond
)

// send has callers send from the account, by any of the replicas. They end with the test.
func send(t *testing.T, replicas ...*replica) *load { return sendFrom(t, account, replicas...) }

func sendFrom(t *testing.T, key limiter.Key, replicas ...*replica) *load {
	return start(&load{
		t: t, key: key, replicas: replicas, books: &books{provider: limitertest.NewProvider()},
	})
}

// also has others send from the same account.
func (l *load) also(replicas ...*replica) *load {
	return start(&load{t: l.t, key: l.key, replicas: replicas, books: l.books})
}

func start(l *load) *load {
	l.ending, l.stop = context.WithCancel(context.Background())
	for range callers {
		l.wg.Go(func() {
			for l.ending.Err() == nil {
				l.mail()
			}
		})
	}
	l.t.Cleanup(l.end)
	return l
}

// end has the callers end what they do.
func (l *load) end() {
	l.stop()
	l.wg.Wait()
}

func (l *load) any() *replica { return l.replicas[rand.IntN(len(l.replicas))] }

// mail is a caller's way with one mail, from its check to its commit. Of eight, one does not leave,
// and one has an id that is made for each check, so that nobody can ask again.
func (l *load) mail() {
	n := l.ids.Add(1)
	id := fmt.Sprint("mail-", n)
	d, err := l.check(id, n%8 == 1)
	switch {
	case err != nil:
	case d.Verdict == limiter.Allowed:
		l.allowed.Add(1)
		if n%8 == 0 {
			l.repeat(func(r *replica) error {
				_, err := r.Release(context.Background(), clock.Now(), l.key, id)
				return err
			}, func() { l.doubts.Add(1) })
			return
		}
		l.provider.Arrived(1)
		l.repeat(func(r *replica) error {
			_, err := r.Commit(context.Background(), clock.Now(), l.key, id, 1)
			return err
		}, func() {}) // it counts in any case
	case d.Verdict == limiter.Deferred:
		l.denied.Add(1)
		for _, w := range d.Exhausted {
			if w.Window == limiter.Hour {
				l.full.Store(true)
			}
		}
		l.pause(min(d.RetryAfter, 10*time.Millisecond))
	default:
		l.t.Errorf("%s is told %+v", id, d)
	}
}

// check asks, and again with the same id unless that is new.
func (l *load) check(id string, fresh bool) (d limiter.Decision, err error) {
	a := ask(id)
	a.New = fresh
	once := func(r *replica) error {
		d, err = r.Check(context.Background(), clock.Now(), l.key, a)
		return err
	}
	doubt := func() { l.doubts.Add(1) }
	if fresh {
		if l.refusal(once(l.any())) {
			doubt()
			l.pause(again)
		}
		return d, err
	}
	l.repeat(once, doubt)
	return d, err
}

// repeat makes a call until it is answered. A caller gives up after a while, and when it ends.
func (l *load) repeat(call func(*replica) error, givenUp func()) {
	for range tries {
		if !l.refusal(call(l.any())) {
			return
		}
		if l.ending.Err() != nil {
			break
		}
		l.pause(again)
	}
	givenUp()
}

// refusal reports whether the store was in doubt. There is no other error.
func (l *load) refusal(err error) bool {
	switch {
	case err == nil:
		return false
	case !errors.Is(err, limiter.ErrStoreUnavailable):
		l.t.Error(err)
	}
	l.refused.Add(1)
	return true
}

func (l *load) pause(d time.Duration) {
	select {
	case <-time.After(d):
	case <-l.ending.Done():
	}
}

// awaitAllowed waits until so many more were allowed, or callers are told that the hour's limit is
// reached: on a slow machine it may be.
func (l *load) awaitAllowed(n int64) {
	l.t.Helper()
	l.full.Store(false)
	from := l.allowed.Load()
	until(l.t, "more are allowed", func() error {
		if got := l.allowed.Load() - from; got < n && !l.full.Load() {
			return fmt.Errorf("%d of %d", got, n)
		}
		return nil
	})
}

// awaitRefused waits until so many more calls were refused.
func (l *load) awaitRefused(n int64) {
	l.t.Helper()
	from := l.refused.Load()
	until(l.t, "calls are refused", func() error {
		if got := l.refused.Load() - from; got < n {
			return fmt.Errorf("%d of %d", got, n)
		}
		return nil
	})
}

// wantRefused wants a replica to refuse every call.
func (l *load) wantRefused(r *replica) {
	l.t.Helper()
	ctx := context.Background()
	d, err := r.Check(ctx, clock.Now(), l.key, ask("refused"))
	l.doubts.Add(1)
	if d.Verdict == limiter.Allowed || !errors.Is(err, limiter.ErrStoreUnavailable) {
		l.t.Errorf("check: %+v, %v", d, err)
	}
	// No commit by id: that is stored later.
	if o, err := r.Release(ctx, clock.Now(), l.key, "none"); !errors.Is(
		err, limiter.ErrStoreUnavailable) {
		l.t.Errorf("release: %v, %v", o, err)
	}
	if u, err := r.Usage(ctx, clock.Now(), l.key); !errors.Is(err, limiter.ErrStoreUnavailable) {
		l.t.Errorf("usage: %+v, %v", u, err)
	}
}

// awaitFull waits until the hour's limit is reached.
func (l *load) awaitFull() {
	l.t.Helper()
	l.full.Store(false)
	until(l.t, "the limit is reached", func() error {
		if !l.full.Load() {
			return fmt.Errorf("%d were allowed", l.allowed.Load())
		}
		return nil
	})
}

// finish wants the provider to be content: in no window came more than its limit. Then it has the
// callers go on until the hour's limit is reached, as fast as they can. What was allowed is known
// to the store, and nothing is counted twice.
func (l *load) finish(of limiter.Limits) { l.t.Helper(); l.finishOver(of, of, 0) }

// finishOver is finish where a fault may have let more through: so much of what was allowed the
// store has forgotten, and the provider has to bear other limits.
func (l *load) finishOver(of, bear limiter.Limits, forgotten int64) {
	l.t.Helper()
	l.complain(bear)
	of[limiter.Cost][limiter.Second], bear[limiter.Cost][limiter.Second] = 0, 0
	for _, r := range l.replicas {
		r.apply(l.t, l.key, of)
	}
	l.awaitFull()
	l.end()
	l.complain(bear)
	limit, sent, doubts := of[limiter.Cost][limiter.Hour], l.provider.Cost(), l.doubts.Load()
	counted := l.replicas[0].counts(l.t, l.key)
	if counted < sent-forgotten || counted > sent+doubts || counted > limit {
		l.t.Errorf("%d count of the %d that were sent, with %d in doubt; the limit is %d",
			counted, sent, doubts, limit)
	}
	if sent < limit-doubts-callers { // some may have been about to release when it was reached
		l.t.Errorf("only %d were sent, with %d in doubt; the limit is %d", sent, doubts, limit)
	}
	l.t.Logf("%d were sent, %d count; %d are in doubt, %d calls were refused",
		sent, counted, doubts, l.refused.Load())
}

func (l *load) complain(bear limiter.Limits) {
	l.t.Helper()
	if complaint := l.provider.Complaint(bear); complaint != "" {
		l.t.Error(complaint)
	}
}
