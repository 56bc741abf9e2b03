package limitertest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-mail/sluice/limiter"
)

// testDecisionsInFull wants all that the answer to a check says, one after the other.
func (s suite) testDecisionsInFull(t *testing.T) {
	l := s.open(t, Options{MaxReservations: 1})
	l.Apply(account, "uid", limiter.Policy{Limits: Limits(5, -1, 9)})
	full := limiter.WindowUsage{
		Window: limiter.Minute, Limit: 5, InFlight: 3, Full: true, FreeIn: time.Minute,
	}
	for _, c := range []struct {
		name string
		at   time.Duration
		id   string
		cost int64
		want limiter.Decision
		err  error
	}{
		{"an allowed one", 0, "a", 3, limiter.Decision{
			Verdict: limiter.Allowed, Cost: 3, ExpiresIn: time.Minute, Limited: true, Remaining: 2,
		}, nil},
		{"the same again", 20 * time.Second, "a", 3, limiter.Decision{
			Verdict: limiter.Allowed, Cost: 3, ExpiresIn: 40 * time.Second,
			Limited: true, Remaining: 2,
		}, nil},
		{"a denied one", 20 * time.Second, "b", 3, limiter.Decision{
			Verdict: limiter.Deferred, RetryAfter: time.Minute,
			Limited: true, Exhausted: []limiter.WindowUsage{full},
		}, nil},
		{"one without room", 20 * time.Second, "b", 1, limiter.Decision{}, limiter.ErrOverloaded},
		{"another cost", 20 * time.Second, "a", 1, limiter.Decision{}, limiter.ErrReservationCost},
		{"a large cost", 20 * time.Second, "b", 6, limiter.Decision{}, limiter.ErrCostExceedsLimit},
		{"no cost", 20 * time.Second, "b", 0, limiter.Decision{}, limiter.ErrInvalid},
	} {
		ask := limiter.Ask{ID: c.id, Cost: c.cost, TTL: time.Minute}
		got, err := l.Check(limiter.Instant{Mono: int64(c.at)}, account, ask)
		if !errors.Is(err, c.err) {
			t.Errorf("%s: %v, want %v", c.name, err, c.err)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s:\n%s", c.name, diff)
		}
	}
}

// testUsageInFull wants the usage to tell of each window, and of the account the worst of them.
func (s suite) testUsageInFull(t *testing.T) {
	const minute = 50 * time.Second
	const hour, day = time.Hour - 10*time.Second, 24*time.Hour - 10*time.Second
	type windows = [3]limiter.WindowUsage
	full := func(freeIn time.Duration) limiter.WindowUsage {
		return limiter.WindowUsage{Limit: 1, Full: true, FreeIn: freeIn}
	}
	room := limiter.WindowUsage{Limit: 2}
	for name, c := range map[string]struct {
		limits  limiter.Limits // those of 1 are full
		windows windows
		next    time.Duration // 0: there is room now
	}{
		"none":                   {Limits(2, 2, 2), windows{room, room, room}, 0},
		"the minute":             {Limits(1, 2, 2), windows{full(minute), room, room}, minute},
		"the hour":               {Limits(2, 1, 0), windows{room, full(hour), {}}, hour},
		"the day and the minute": {Limits(1, 2, 1), windows{full(minute), room, full(day)}, day},
		"limits below 0":         {Limits(-1, -2, -3), windows{}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			l := s.open(t, Options{})
			policy := limiter.Policy{Limits: c.limits, DeferTo: limiter.WindowBoundary}
			l.Apply(account, "uid", policy)
			if _, err := l.Commit(limiter.Instant{}, account, "", 1); err != nil {
				t.Fatal(err)
			}
			got, err := l.Usage(limiter.Instant{Mono: int64(10 * time.Second)}, account)
			if err != nil {
				t.Fatal(err)
			}
			for w := range c.windows {
				c.windows[w].Window = limiter.Minute + limiter.Window(w)
				c.windows[w].Used = 1
			}
			want := limiter.Usage{
				Key: account, Policy: policy, Windows: c.windows[:],
				Full: c.next > 0, NextSlot: c.next,
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// testOddCases are what no guarantee speaks of by name.
func (s suite) testOddCases(t *testing.T) {
	before1970 := -time.Duration(start.UnixNano()) - 30*time.Second
	s.playAll(t, map[string]timelineCase{
		"a suspended account answers its behavior": {
			limiter.Policy{Suspended: true, Behavior: limiter.Reject},
			`
			0s  check a                  -> reject suspended`,
		},
		"a commit of more than any limit can be": {limiter.Policy{}, `
			0s  commit a cost=2147483648 -> invalid
			0s  commit a cost=2147483647 -> unreserved
			0s  usage                    -> 2147483647/2147483647/2147483647 + 0`},
		"a late commit that says what really left": {limiter.Policy{}, `
			0s  check a cost=5 ttl=1s    -> allow
			1s  usage                    -> 5/5/5 + 0
			2s  commit a cost=2          -> late
			2s  usage                    -> 2/2/2 + 0`},
		"a late commit of more": {limiter.Policy{}, `
			0s  check a cost=2 ttl=1s    -> allow
			2s  commit a cost=5          -> late
			2s  usage                    -> 5/5/5 + 0`},
		"a commit of what was released, with its cost": {limiter.Policy{}, `
			0s  check a cost=5           -> allow
			0s  release a                -> released
			0s  commit a                 -> unreserved
			0s  usage                    -> 5/5/5 + 0`},
		"nothing remains where a limit was lowered below what is held": {perMinute(5), `
			0s  check a cost=3           -> allow 2
			1s  apply minute=2           -> changed
			1s  check a cost=3           -> allow 0`},
		"sends of one instant are one entry": {limiter.Policy{}, `
			1s  commit                   -> unreserved
			1s  commit cost=3            -> unreserved
			1s  check a ttl=1s           -> allow
			1s  check b ttl=1s           -> allow
			2s  usage                    -> 6/6/6 + 0
			2s  purge                    -> 2`},
		"a boundary on a wall clock of before 1970": {
			limiter.Policy{Limits: Limits(1, 0, 0), DeferTo: limiter.WindowBoundary},
			fmt.Sprintf(`
			0s  commit                   -> unreserved
			0s  wall step=%s
			0s  check a                  -> defer 30s
			10s check a                  -> defer 20s
			30s check a                  -> defer 1m0s
			31s check a                  -> defer 59s`, before1970),
		},
	})
}

// testRoomComesBack wants whatever ends a reservation to make room for one, over all accounts.
func (s suite) testRoomComesBack(t *testing.T) {
	for name, end := range map[string]string{
		"a commit":                           "1s commit a  -> committed",
		"a commit of the oldest":             "1s commit    -> committed",
		"a release":                          "1s release a -> released",
		"a release of the oldest":            "1s release   -> released",
		"a purge":                            "1s purge     -> 4\n 1s apply -> changed",
		"a deadline that a call sees pass":   "2m usage     -> 1/1/1 + 3",
		"a deadline that its check sees":     "",
		"a deadline that a sweep sees pass":  "2m sweep",
		"a deadline that a commit sees pass": "2m commit a  -> late",
	} {
		t.Run(name, func(t *testing.T) {
			s.play(t, limiter.Policy{}, `
				0s check a ttl=2m  -> allow
				0s check b ttl=15m -> allow
				0s check c ttl=15m -> allow
				0s check d ttl=15m -> allow
				0s check e         -> overloaded
				`+end+`
				2m check e         -> allow`)
		})
	}
}

func (s suite) testInvalidAsks(t *testing.T) {
	s.playAll(t, map[string]timelineCase{
		"costs and times that mean nothing": {perMinute(5), `
			0s  check a cost=0          -> invalid
			0s  check a cost=-1         -> invalid
			0s  check a cost=2147483648 -> invalid
			0s  check a cost=9223372036854775807 -> invalid
			0s  check a ttl=0s          -> invalid
			0s  check                   -> invalid
			0s  commit a cost=-1        -> invalid
			0s  usage                   -> 0/0/0 + 0`},
		"a cost that no window can ever hold": {limiter.Policy{Limits: Limits(10, 0, 5)}, `
			0s  check a cost=6 -> exceeds
			0s  check a cost=5 -> allow 0`},
	})
}
