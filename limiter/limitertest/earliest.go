package limitertest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sluice-mail/sluice/limiter"
)

// G3 as callers meet it: to the millisecond on the wire. Histories that have merged are in
// earliest_merged.go.

// busy is an account with a random past, and the model that had the same one.
type busy struct {
	l     *Harness
	m     *model
	start int64 // of the monotonic clock, on the wall clock; often between two milliseconds
	now   int64
}

// at is an instant so long after the start.
func (b *busy) at(mono int64) limiter.Instant {
	return limiter.Instant{Mono: mono, Wall: b.start + mono}
}

func (b *busy) check(mono int64, ask limiter.Ask) (limiter.Decision, error) {
	return b.l.Check(b.at(mono), account, ask)
}

// commitAll commits what is outstanding.
func (b *busy) commitAll(t *rapid.T) {
	for {
		u, err := b.l.Usage(b.at(b.now), account)
		if err != nil {
			t.Fatal(err)
		}
		if u.InFlight == 0 {
			return
		}
		if _, err := b.l.Commit(b.at(b.now), account, "", 0); err != nil {
			t.Fatal(err)
		}
	}
}

// drawBusy makes an account with at least one limit, which was asked for mails until the limit was
// reached or not.
func (s suite) drawBusy(t *rapid.T, deferTo limiter.DeferTo) *busy {
	some := someLimits.Filter(func(l limiter.Limits) bool { return l != Limits(0, 0, 0) })
	p := limiter.Policy{Limits: some.Draw(t, "limits"), DeferTo: deferTo}
	b := &busy{
		l: s.open(t, Options{}),
		m: &model{limits: p.Limits, ended: map[string]string{}, past: map[string]held{}},
	}
	b.start = start.UnixNano() + rapid.SampledFrom([]int64{0, 1, 499_999, 999_999}).
		Draw(t, "fraction")
	b.l.Apply(account, "uid", p)
	for i := range rapid.SampledFrom([]int{0, 3, 10, 30}).Draw(t, "calls") {
		b.now += pauses.Draw(t, "pause")
		b.m.expire(b.now)
		b.call(t, fmt.Sprint(i))
	}
	return b
}

// call checks, and then commits or releases, at once; or leaves the slot to time.
func (b *busy) call(t *rapid.T, id string) {
	ask := limiter.Ask{ID: id, Cost: rapid.Int64Range(1, 3).Draw(t, "cost"), TTL: 15 * time.Minute}
	if rapid.Bool().Draw(t, "short") {
		ask.TTL = time.Second
	}
	_, _ = b.check(b.now, ask)
	b.m.check(b.now, id, ask.Cost, int64(ask.TTL))
	switch rapid.SampledFrom([]string{"commit", "commit", "release", "wait"}).Draw(t, "then") {
	case "commit": // a mail that was denied leaves without a slot
		_, _ = b.l.Commit(b.at(b.now), account, id, 0)
		b.m.commit(b.now, id)
	case "release":
		_, _ = b.l.Release(b.at(b.now), account, id)
		b.m.release(id)
	}
}

// denied asks until there is no room.
func (b *busy) denied(t *rapid.T) (limiter.Ask, limiter.Decision) {
	cost := rapid.Int64Range(1, 3).Draw(t, "cost")
	for i := 0; ; i++ {
		ask := limiter.Ask{ID: fmt.Sprint("more-", i), Cost: cost, TTL: time.Minute}
		d, err := b.check(b.now, ask)
		switch {
		case errors.Is(err, limiter.ErrCostExceedsLimit):
			cost = 1
		case err != nil:
			t.Fatal(err)
		case d.Verdict == limiter.Deferred:
			return ask, d
		default:
			b.m.check(b.now, ask.ID, cost, int64(ask.TTL))
		}
	}
}

// deferredUntil is what a caller is told: a wait as an instant on the wall clock, rounded up to the
// millisecond. See server/convert.go.
func deferredUntil(now limiter.Instant, wait time.Duration) int64 {
	const millisecond = int64(time.Millisecond)
	return (now.Wall + int64(wait) + millisecond - 1) / millisecond * millisecond
}

// testEarliestSlotIsTheFirstMillisecond comes back at the time it was told, and a millisecond
// before.
func (s suite) testEarliestSlotIsTheFirstMillisecond(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := s.drawBusy(t, limiter.EarliestSlot)
		ask, d := b.denied(t)
		u, err := b.l.Usage(b.at(b.now), account)
		if err != nil || ask.Cost == 1 && u.NextSlot != d.RetryAfter {
			t.Errorf(
				"the next slot is in %s, %v; the denial says %s",
				u.NextSlot,
				err,
				d.RetryAfter,
			)
		}
		b.commitAll(t)
		until := deferredUntil(b.at(b.now), d.RetryAfter) - b.start
		early := max(b.now, until-int64(time.Millisecond))
		if again, err := b.check(early, ask); err != nil || again.Verdict != limiter.Deferred {
			t.Errorf(
				"told to wait from %s until %s, and %s at %s",
				time.Duration(b.now),
				time.Duration(until),
				describe(again, err),
				time.Duration(early),
			)
		}
		if again, err := b.check(until, ask); err != nil || again.Verdict != limiter.Allowed {
			t.Errorf(
				"told to wait from %s until %s, and %s then",
				time.Duration(b.now),
				time.Duration(until),
				describe(again, err),
			)
		}
	})
}

// testWindowBoundaryIsTheNextMultiple wants the boundary of the first window that the model finds
// exhausted.
func (s suite) testWindowBoundaryIsTheNextMultiple(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := s.drawBusy(t, limiter.WindowBoundary)
		ask, d := b.denied(t)
		now := b.at(b.now)
		for _, r := range rows {
			limit, length := b.m.limits[r.unit][r.window], int64(r.window.Length())
			if limit == 0 ||
				r.used(b.m.sends, b.now)+r.of(b.m.inFlight())+r.of(amount{ask.Cost, 1}) <= limit {
				continue
			}
			if want := (now.Wall/length + 1) * length; now.Wall+int64(d.RetryAfter) != want ||
				deferredUntil(now, d.RetryAfter) != want {
				t.Errorf(
					"at %s, the %v exhausted, told %s; want %s",
					time.Unix(0, now.Wall),
					r,
					time.Unix(0, now.Wall+int64(d.RetryAfter)),
					time.Unix(0, want),
				)
			}
			return
		}
		t.Error("denied, and no window is exhausted")
	})
}
