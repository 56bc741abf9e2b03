package redis_test

import (
	"errors"
	"testing"

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
