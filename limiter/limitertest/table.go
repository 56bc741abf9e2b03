package limitertest

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-mail/sluice/limiter"
)

// testSecondsAndMessages wants each row of the table of limits to hold like all others.
func (s suite) testSecondsAndMessages(t *testing.T) {
	messages := func(perMinute int64) limiter.Policy {
		return limiter.Policy{Limits: limiter.Limits{
			limiter.Messages: {limiter.Minute: perMinute},
		}}
	}
	s.playAll(t, map[string]timelineCase{
		"a second slides to the nanosecond": {limiter.Policy{
			Limits: limiter.Limits{limiter.Cost: {limiter.Second: 2, limiter.Minute: 3}},
		}, `
			0s            check a   -> allow 1
			0s            commit a  -> committed
			0.5s          check b   -> allow 0
			0.5s          commit b  -> committed
			0.999999999s  check c   -> defer 1ns
			1s            check c   -> allow 0
			1s            check d   -> defer 59s    # what was sent at 0 s must leave the minute
			1s            commit c  -> committed
			1.4s          check d   -> defer 58.6s`},
		"a message is one, whatever it costs": {messages(2), `
			0s     check a cost=500  -> allow 1
			0s     commit a          -> committed
			10s    check b cost=500  -> allow 0
			11s    check c           -> defer 49s
			12s    commit b          -> committed
			12s    check c           -> defer 48s
			60s    check c           -> allow 0
			71.9s  check d           -> defer 100ms
			72s    check d           -> allow 0
			72s    usage             -> 0/1000/1000 + 2`},
		"the deadline of a reservation counts one message": {messages(1), `
			0s     check a cost=7 ttl=10s -> allow 0
			10s    check b                -> defer 1m0s
			70s    check b                -> allow 0`},
		"a late commit moves one message": {messages(1), `
			0s     check a cost=7 ttl=1s  -> allow 0
			31s    commit a cost=5        -> late
			61s    check b                -> defer 30s
			91s    check b                -> allow 0`},
		"the tightest row decides, in either unit": {limiter.Policy{Limits: limiter.Limits{
			limiter.Cost:     {limiter.Minute: 10},
			limiter.Messages: {limiter.Minute: 3},
		}}, `
			0s     check a cost=6    -> allow 2     # two messages, cost 4
			0s     check b cost=3    -> allow 1     # one message, cost 1
			0s     check c cost=2    -> defer 1m0s
			0s     check c cost=1    -> allow 0
			0s     check d cost=1    -> defer 1m0s`},
		"a limit that comes later counts the day before it": {limiter.Policy{}, `
			0s     commit cost=3     -> unreserved
			1s     commit            -> unreserved
			2s     commit cost=9     -> unreserved
			3s     apply messages/minute=3 -> changed
			3s     check a           -> defer 57s
			3s     apply messages/minute=4 second=20 -> changed
			3s     check a           -> allow 0
			3s     apply messages/day=4 -> changed
			3s     check b           -> defer 23h59m57s
			4s     release a         -> released
			4s     check b           -> allow 0`},
		"a boundary is that of the first exhausted window": {limiter.Policy{
			Limits:  limiter.Limits{limiter.Cost: {limiter.Second: 1, limiter.Minute: 1}},
			DeferTo: limiter.WindowBoundary,
		}, `
			0.1s   commit            -> unreserved
			0.2s   check a           -> defer 300ms
			2s     check a           -> defer 45.5s`},
		"a large cost of one message fits a message limit": {messages(1), `
			0s     check a cost=2147483647 -> allow 0`},
	})
	s.testTableInFull(t)
}

// testTableInFull wants a denial and the usage to name each row.
func (s suite) testTableInFull(t *testing.T) {
	l := s.open(t, Options{})
	l.Apply(account, "uid", limiter.Policy{Limits: limiter.Limits{
		limiter.Cost:     {limiter.Second: 9, limiter.Day: 5},
		limiter.Messages: {limiter.Hour: 1},
	}})
	if _, err := l.Commit(limiter.Instant{}, account, "", 4); err != nil {
		t.Fatal(err)
	}
	now := limiter.Instant{Mono: int64(time.Second)}
	d, err := l.Check(now, account, limiter.Ask{ID: "a", Cost: 2, TTL: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	day := limiter.WindowUsage{
		Window: limiter.Day, Limit: 5, Used: 4, Full: true, FreeIn: 24*time.Hour - time.Second,
	}
	hour := limiter.WindowUsage{
		Unit: limiter.Messages, Window: limiter.Hour, Limit: 1, Used: 1, Full: true,
		FreeIn: time.Hour - time.Second,
	}
	if diff := cmp.Diff([]limiter.WindowUsage{day, hour}, d.Exhausted); diff != "" {
		t.Error(diff)
	}
	u, err := l.Usage(now, account)
	if err != nil {
		t.Fatal(err)
	}
	day.Full, day.FreeIn = false, 0 // a cost of 1 has room
	want := []limiter.WindowUsage{
		{Window: limiter.Second, Limit: 9},
		{Window: limiter.Minute, Used: 4},
		{Window: limiter.Hour, Used: 4},
		day, hour,
	}
	if diff := cmp.Diff(want, u.Windows); diff != "" {
		t.Error(diff)
	}
}
