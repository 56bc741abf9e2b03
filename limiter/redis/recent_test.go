package redis_test

import (
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/limitertest"
	"github.com/sluice-mail/sluice/limiter/redis"
)

// TestWhatWasToldLatelyIsToldAnew has the server come back with what it had a while ago, under two
// replicas: nothing that either of them let out is forgotten, and nothing counts twice.
func TestWhatWasToldLatelyIsToldAnew(t *testing.T) {
	s, one := ownServer(t)
	other := limiterOn(t, redis.Connection{URL: "redis://" + s.address()})
	check(t, one, "before")
	s.say(t, "SAVE")
	commit := func(l *limiter.Limiter, id string) {
		t.Helper()
		if _, err := l.Commit(ctx, far, account, id, 0); err != nil {
			t.Fatal(err)
		}
	}
	check(t, one, "held")
	check(t, other, "sent")
	commit(one, "sent")
	commit(one, "before")
	check(t, other, "released")
	if _, err := one.Release(ctx, far, account, "released"); err != nil {
		t.Fatal(err)
	}
	check(t, one, "the oldest")
	for _, id := range []string{"", "nobody reserved this"} {
		commit(other, id)
	}
	wantUsed(t, one, 4, 1)

	s.crash(t)
	for _, l := range []*limiter.Limiter{one, other} {
		until(t, "both have told what they knew", func() bool { // these tests hurry them
			u, err := l.Usage(ctx, far, account)
			return err == nil && u.InFlight == 1 && u.Window(limiter.Cost, limiter.Day).Used == 4
		})
	}
	allowed := 0
	for n := range 20 {
		if check(t, one, fmt.Sprint("after", n)).Verdict == limiter.Allowed {
			allowed++
		}
	}
	if allowed != 4 {
		t.Errorf("%d more are allowed, want 4", allowed)
	}
}

// TestCommitsAreStoredLater has a server not answer when reservations end: that they ended is
// stored once it answers.
func TestCommitsAreStoredLater(t *testing.T) {
	s := bareServer(t)
	registry := prometheus.NewRegistry()
	l := limiter.New(open(t, redis.Options{
		Connection: redis.Connection{URL: "redis://" + s.address()},
		Timeout:    patience, Registry: registry,
	}))
	l.MarkLoaded()
	limitertest.Apply(t, l, account, "uid", limiter.Policy{Limits: limitertest.Limits(0, 0, 9)})
	for _, id := range []string{"sent", "not sent", "sent after all"} {
		check(t, l, id)
	}
	s.signal(t, syscall.SIGSTOP)
	for range 12 { // also after the first has noticed
		d, err := l.Check(ctx, far, account,
			limiter.Ask{ID: fmt.Sprint("nobody's", time.Now()), Cost: 1, TTL: time.Minute, New: true})
		if !errors.Is(err, limiter.ErrStoreUnavailable) || d.Verdict == limiter.Allowed {
			t.Fatal(d, err)
		}
	}
	_, err1 := l.Commit(ctx, far, account, "sent", 0)
	_, err2 := l.Release(ctx, far, account, "not sent")
	_, err3 := l.Release(ctx, far, account, "sent after all")
	for _, err := range []error{err1, err2, err3} {
		if !errors.Is(err, limiter.ErrStoreUnavailable) {
			t.Fatal(err)
		}
	}
	// Who asks for an id again means to use it, whatever was said before.
	if _, err := l.Check(ctx, far, account, ask("sent after all")); err == nil {
		t.Fatal("a stopped server answers")
	}
	s.signal(t, syscall.SIGCONT)
	until(t, "they are stored", func() bool {
		u, err := l.Usage(ctx, far, account)
		return err == nil && u.Window(limiter.Cost, limiter.Day).Used == 1 && u.InFlight == 1
	})
	if d := check(t, l, "sent after all"); d.Verdict != limiter.Allowed {
		t.Errorf("%+v", d)
	}
}

// TestTellingKeepsTheCost has a commit without a cost told before the check that it belongs to,
// which another replica was told of.
func TestTellingKeepsTheCost(t *testing.T) {
	s, one := ownServer(t)
	other := limiterOn(t, redis.Connection{URL: "redis://" + s.address()})
	for _, l := range []*limiter.Limiter{one, other} {
		limitertest.Apply(t, l, account, "uid", limiter.Policy{Limits: limitertest.Limits(0, 0, 100)})
	}
	check(t, one, "before")
	s.say(t, "SAVE")
	big := limiter.Ask{ID: "big", Cost: 50, TTL: time.Minute}
	if d, err := one.Check(ctx, far, account, big); err != nil || d.Verdict != limiter.Allowed {
		t.Fatal(d, err)
	}
	if o, err := other.Commit(ctx, far, account, "big", 0); err != nil || o != limiter.Committed {
		t.Fatal(o, err)
	}
	s.crash(t)
	until(t, "all is told", func() bool {
		u, err := one.Usage(ctx, far, account)
		return err == nil && u.InFlight == 1 && u.Window(limiter.Cost, limiter.Day).Used == 50
	})
}

// TestWhoHasLessToTellWaits has one replica tell a lot, and another nothing: the second must not
// let anything out before the first has told all.
func TestWhoHasLessToTellWaits(t *testing.T) {
	const most = 60_000
	s := bareServer(t)
	of := func() *limiter.Limiter {
		l := limiterOn(t, redis.Connection{URL: "redis://" + s.address()})
		limitertest.Apply(t, l, account, "uid", limiter.Policy{Limits: limitertest.Limits(0, 0, most)})
		return l
	}
	busy, idle := of(), of()
	check(t, busy, "first")
	check(t, idle, "second")
	s.say(t, "SAVE")
	for n := 2; n < most; {
		calls := make([]limiter.Call, min(500, most-n))
		for i := range calls {
			calls[i] = limiter.Call{Key: account, Verb: limiter.ToCheck, Ask: ask(fmt.Sprint("one", n+i))}
		}
		if err := busy.Do(ctx, far, calls); err != nil {
			t.Fatal(err)
		}
		for i := range calls {
			if calls[i].Err == nil && calls[i].Decision.Verdict == limiter.Allowed {
				n++
			}
		}
	}
	s.crash(t)
	until(t, "the one with nothing to tell answers", func() bool {
		d, err := idle.Check(ctx, far, account, ask("one more"))
		if err == nil && d.Verdict == limiter.Allowed {
			t.Fatal("it lets out one more")
		}
		return err == nil
	})
}

// crash kills the server, and starts it with what it last saved.
func (s *server) crash(t *testing.T) {
	t.Helper()
	_ = s.command.Process.Kill()
	_ = s.command.Wait()
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
}

// TestARefusedCommitHoldsUpNoRelease has a full server refuse a commit that is stored later, and a
// release wait behind it, which would free memory.
func TestARefusedCommitHoldsUpNoRelease(t *testing.T) {
	s, l := ownServer(t)
	check(t, l, "a")
	check(t, l, "b")
	s.say(t, "CONFIG", "SET", "maxmemory", "1")
	if _, err := l.Commit(ctx, far, account, "a", 0); !errors.Is(err, limiter.ErrStoreUnavailable) {
		t.Fatal(err)
	}
	s.signal(t, syscall.SIGSTOP)
	if _, err := l.Release(ctx, far, account, "b"); !errors.Is(err, limiter.ErrStoreUnavailable) {
		t.Fatal(err)
	}
	s.signal(t, syscall.SIGCONT)
	until(t, "the release is stored", func() bool {
		u, err := l.Usage(ctx, far, account)
		return err == nil && u.InFlight == 1
	})
}
