package faults

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/redis"
	"github.com/sluice-mail/sluice/limiter/redis/redistest"
)

// TestServerThatHangs has the server answer nothing for a while, and then do what it was asked
// meanwhile. Nobody was let through for that, and what was asked again counts once.
func TestServerThatHangs(t *testing.T) {
	t.Parallel()
	for name, hang := range map[string]func(t *testing.T, s *redistest.Server) (end func()){
		"SIGSTOP": func(t *testing.T, s *redistest.Server) func() {
			s.Freeze(t)
			return func() { s.Thaw(t) }
		},
		"DEBUG SLEEP": func(t *testing.T, s *redistest.Server) func() {
			var wg sync.WaitGroup
			wg.Go(func() { _ = s.Try(t.Context(), "DEBUG", "SLEEP", "2") })
			return wg.Wait
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := redistest.New(t, redistest.Options{})
			all := pair(t, options(s.URL()))
			l := send(t, all...)
			l.awaitAllowed(20)
			end := hang(t, s)
			for _, r := range all {
				_ = r.awaitAway(t)
				l.wantRefused(r)
			}
			end()
			l.awaitAllowed(20)
			l.finish(limits)
		})
	}
}

// TestCommitsAreStoredLater has commits and releases refused while the server hangs, and their
// callers not repeat them. They are stored when it goes on.
func TestCommitsAreStoredLater(t *testing.T) {
	t.Parallel()
	s := redistest.New(t, redistest.Options{})
	r := ready(t, options(s.URL()), limits)
	const each = 20
	for n := range 2 * each {
		r.mustAllow(t, fmt.Sprint(n))
	}
	s.Freeze(t)
	_ = r.awaitAway(t)
	for n := range each {
		if _, err := r.Commit(t.Context(), clock.Now(), account, fmt.Sprint(n), 0); err == nil {
			t.Fatal("a commit is answered")
		}
		if _, err := r.Release(t.Context(), clock.Now(), account, fmt.Sprint(each+n)); err == nil {
			t.Fatal("a release is answered")
		}
	}
	s.Thaw(t)
	until(t, "all are stored", func() error {
		u, err := r.Usage(t.Context(), clock.Now(), account)
		if used := u.Window(limiter.Cost, limiter.Hour).Used; err == nil &&
			(used != each || u.InFlight != 0) {
			err = fmt.Errorf("%d + %d count", used, u.InFlight)
		}
		return err
	})
}

// TestNobodyPilesUp has many callers call a server that hangs, as fast as they can. They are
// refused at once when it has not answered some. No more goroutines stay behind than there were
// calls when it began, and those end while the server still hangs. When it goes on, the breaker
// closes by itself.
func TestNobodyPilesUp(t *testing.T) { // alone: it counts the goroutines of all tests
	s := redistest.New(t, redistest.Options{})
	r := ready(t, options(s.URL()), limits)
	before := runtime.NumGoroutine()
	s.Freeze(t)
	const impatient, each = 100, 100
	start := time.Now()
	var callers sync.WaitGroup
	for range impatient {
		callers.Go(func() {
			for n := 0; n < each; {
				if _, err := r.Check(t.Context(), clock.Now(), account, ask("same")); err != nil {
					n++
				}
			}
		})
	}
	callers.Wait()
	// If each call had waited for its deadline, that would have taken 30 s.
	if took := time.Since(start); took > redis.DefaultTimeout*each/2 {
		t.Errorf("%d refusals took %s", each, took)
	}
	if n := runtime.NumGoroutine() - before; n > 2*impatient {
		t.Errorf("%d goroutines have stayed of %d calls", n, impatient*each)
	}
	until(t, "the goroutines end", func() error {
		if n := runtime.NumGoroutine() - before; n > 20 {
			return fmt.Errorf("there are %d more than before", n)
		}
		return nil
	})
	s.Thaw(t)
	r.awaitReady(t)
	r.mustAllow(t, "another")
}
