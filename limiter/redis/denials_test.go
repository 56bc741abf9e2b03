package redis_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/limitertest"
	"github.com/sluice-mail/sluice/limiter/redis"
)

// remembered is how many denials were answered without a round trip.
func remembered(t *testing.T, from *prometheus.Registry) int {
	t.Helper()
	families, err := from.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "sluice_redis_remembered_denials_total" {
			return int(f.GetMetric()[0].GetCounter().GetValue())
		}
	}
	t.Fatal("there is no such metric")
	return 0
}

// TestRememberedDenialsAreThoseOfMemory compares call by call, with callers that ask again and
// again for what was denied.
func TestRememberedDenialsAreThoseOfMemory(t *testing.T) {
	registry := prometheus.NewRegistry()
	client(t)
	o := options(t)
	o.Registry = registry
	o.Connection.URL = "redis://" + sharedServer.address()
	store, err := redis.OpenWithDenials(o)
	if err != nil {
		t.Fatal(err)
	}
	run(t, store)
	for seed := range short(40) {
		tw := newTwins(t, seed, since1970, 1000)
		tw.punctual = true // a remembered denial does not tell the server what time it was
		name := limiter.Key{Namespace: "marketing", Name: fmt.Sprint("n", seed)}
		a := store.Open(name, "uid")
		tw.replicas = []limiter.Account{a}
		for range 400 {
			tw.step(time.Second)
			if tw.random.IntN(3) == 0 {
				tw.insist(a, tw.random)
			}
			redis.AwaitTracking(a)
		}
	}
	if n := remembered(t, registry); n < int(50*short(40)) {
		t.Errorf("%d denials were remembered: the comparison says little", n)
	}
}

// insist asks for the same some times, while time goes on.
func (tw *twins) insist(a limiter.Account, r *rand.Rand) {
	cost := 1 + r.Int64N(2)
	for range 2 + r.IntN(6) {
		at := tw.reading()
		ask := limiter.Ask{ID: fmt.Sprint(max(0, tw.ids-r.IntN(10))), Cost: cost, TTL: time.Minute}
		if r.IntN(3) > 0 {
			tw.ids++
			ask.ID, ask.New = fmt.Sprint(tw.ids), r.IntN(2) == 0
		}
		same(tw, fmt.Sprintf("check %+v again", ask), func(a limiter.Account) (limiter.Decision, error) {
			return a.Check(ctx, at, &tw.policy, ask)
		})
		redis.AwaitTracking(a)
		tw.now.Mono += r.Int64N(int64(200 * time.Millisecond))
	}
}

// TestDenialsAreDroppedWhenAnyReplicaFrees has one replica remember a denial, and another make room
// in each way: the first must notice, without being asked to.
func TestDenialsAreDroppedWhenAnyReplicaFrees(t *testing.T) {
	s := bareServer(t)
	free := map[string]func(other *limiter.Limiter, one *limiter.Limiter) error{
		"a release": func(other, _ *limiter.Limiter) error {
			_, err := other.Release(ctx, far, account, "a")
			return err
		},
		"a raised limit": func(other, one *limiter.Limiter) error {
			for _, l := range []*limiter.Limiter{other, one} {
				p := limiter.Policy{Limits: limitertest.Limits(0, 0, 9), Generation: 2}
				if _, err := l.Apply(ctx, account, "uid", p); err != nil {
					return err
				}
			}
			return nil
		},
		"a raised limit that only the other knows yet": func(other, _ *limiter.Limiter) error {
			p := limiter.Policy{Limits: limitertest.Limits(0, 0, 9), Generation: 2}
			if _, err := other.Apply(ctx, account, "uid", p); err != nil {
				return err
			}
			_, err := other.Usage(ctx, far, account)
			return err
		},
		"all is flushed": func(*limiter.Limiter, *limiter.Limiter) error {
			s.say(t, "EVAL", `for _, k in ipairs(redis.call('KEYS', '*newsletter*')) do
				redis.call('DEL', k) end`, "0")
			return nil
		},
	}
	for name, makeRoom := range free {
		t.Run(name, func(t *testing.T) {
			registry := prometheus.NewRegistry()
			o := redis.Options{
				Connection: redis.Connection{URL: "redis://" + s.address()}, Registry: registry,
				Prefix: strings.ReplaceAll(name, " ", "-"), Timeout: 5 * time.Second,
			}
			one := limiter.New(open(t, o))
			o.Registry = nil
			other := limiter.New(open(t, o))
			p := limiter.Policy{Limits: limitertest.Limits(0, 0, 3), Generation: 1}
			for _, l := range []*limiter.Limiter{one, other} {
				l.MarkLoaded()
				limitertest.Apply(t, l, account, "uid", p)
			}
			for _, id := range []string{"a", "b", "c"} {
				check(t, other, id)
			}
			until(t, "a denial is remembered", func() bool {
				if d := check(t, one, "d"); d.Verdict == limiter.Allowed {
					t.Fatal("over the limit")
				}
				return remembered(t, registry) > 0
			})
			if err := makeRoom(other, one); err != nil {
				t.Fatal(err)
			}
			until(t, "a check is allowed", func() bool {
				d, err := one.Check(ctx, far, account, ask("e"))
				return err == nil && d.Verdict == limiter.Allowed
			})
		})
	}
}

// until waits for what comes soon.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("never: ", what)
		}
	}
}
