package redis_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/limitertest"
	"github.com/sluice-mail/sluice/limiter/redis"
)

// TestAnEmptiedStoreAnswersNothing has the server lose everything in two ways: no call is answered
// until an operator has accepted that.
func TestAnEmptiedStoreAnswersNothing(t *testing.T) {
	for name, empty := range map[string]func(*testing.T, *server, *redis.Store){
		"it is killed, and starts empty": func(t *testing.T, s *server, store *redis.Store) {
			_ = s.command.Process.Kill()
			_ = s.command.Wait()
			until(t, "it is away", func() bool { return store.Ready() != nil })
			if err := s.start(); err != nil {
				t.Fatal(err)
			}
		},
		"FLUSHALL": func(t *testing.T, s *server, _ *redis.Store) {
			s.say(t, "FLUSHALL")
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := bareServer(t)
			told := make(chan string, 10)
			store := open(t, redis.Options{
				Connection: redis.Connection{URL: "redis://" + s.address()}, Timeout: patience,
				Tell: func(kind, reason, _ string) { told <- kind + " " + reason },
			})
			l := limiter.New(store)
			l.MarkLoaded()
			limitertest.Apply(t, l, account, "uid", limiter.Policy{Limits: limitertest.Limits(0, 0, 9)})
			check(t, l, "a")
			empty(t, s, store)
			var lost *redis.LostError
			until(t, "the loss is noticed", func() bool {
				d, err := l.Check(ctx, far, account, ask("b"))
				if err == nil && d.Verdict == limiter.Allowed {
					t.Fatal("it allows")
				}
				return errors.As(store.Ready(), &lost)
			})
			if lost.Kept == "" {
				t.Fatalf("%+v", lost)
			}
			until(t, "an event", func() bool { return len(told) > 0 })
			if got := <-told; got != "Warning StoreLost" {
				t.Errorf("it told %s", got)
			}
			wantUnavailable(t, l)
			if len(told) > 0 {
				t.Errorf("it told again: %s", <-told)
			}
			c, err := s.connect()
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if err := redis.AcceptLoss(ctx, c, redis.DefaultPrefix, lost.Kept); err != nil {
				t.Fatal(err)
			}
			until(t, "it goes on", func() bool {
				d, err := l.Check(ctx, far, account, ask("c"))
				return err == nil && d.Verdict == limiter.Allowed
			})
		})
	}
}

// TestAnOldStoreAnswersNothing has a server come back with what it had longer ago than replicas
// tell anew. A new replica, which knows of nothing, hears of it, too.
func TestAnOldStoreAnswersNothing(t *testing.T) {
	redis.HurryBeats(2 * time.Second)
	t.Cleanup(func() { redis.HurryBeats(time.Minute) })
	s := bareServer(t)
	o := redis.Options{
		Connection: redis.Connection{URL: "redis://" + s.address()}, Timeout: patience,
	}
	of := func() (*redis.Store, *limiter.Limiter) {
		store := open(t, o)
		l := limiter.New(store)
		l.MarkLoaded()
		limitertest.Apply(t, l, account, "uid", limiter.Policy{Limits: limitertest.Limits(0, 0, 9)})
		return store, l
	}
	store, l := of()
	check(t, l, "a")
	s.say(t, "SAVE")
	time.Sleep(5 * time.Second) // longer than is told
	check(t, l, "b")
	s.crash(t)
	var lost *redis.LostError
	until(t, "the loss is noticed", func() bool {
		d, err := l.Check(ctx, far, account, ask("c"))
		if err == nil && d.Verdict == limiter.Allowed {
			t.Fatal("it allows")
		}
		return errors.As(store.Ready(), &lost)
	})
	if !lost.Old || lost.Kept == "" {
		t.Fatalf("%+v", lost)
	}
	c, err := s.connect()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fresh, err := redis.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	running, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { _ = fresh.Run(running); close(done) }()
	defer func() { stop(); <-done }()
	time.Sleep(2 * time.Second)
	if fresh.Ready() == nil {
		t.Error("a new replica answers")
	}
	if err := redis.AcceptLoss(ctx, c, redis.DefaultPrefix, lost.Kept); err != nil {
		t.Fatal(err)
	}
	until(t, "both go on", func() bool {
		_, err := l.Usage(ctx, far, account)
		return err == nil && fresh.Ready() == nil
	})
}
