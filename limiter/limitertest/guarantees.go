package limitertest

import (
	"errors"
	"testing"

	"github.com/sluice-mail/sluice/limiter"
)

// Each guarantee of the design, as timelines. The numbers G1 to G11 are those of
// docs/spec/guarantees.md.

type timelineCase struct {
	policy limiter.Policy
	script string
}

func (s suite) playAll(t *testing.T, cases map[string]timelineCase) {
	t.Helper()
	for name, c := range cases {
		t.Run(name, func(t *testing.T) { s.play(t, c.policy, c.script) })
	}
}

func perMinute(n int64) limiter.Policy { return limiter.Policy{Limits: Limits(n, 0, 0)} }

func (s suite) testG1NeverOver(t *testing.T) {
	s.playAll(t, map[string]timelineCase{
		"a stamp stops counting exactly one window later, not before": {perMinute(1), `
			0s             check a   -> allow 0
			10s            commit a  -> committed
			69.999999999s  check b   -> defer 1ns
			70s            check b   -> allow 0`},
		"what is in flight counts in every window, however long it takes": {perMinute(1), `
			0s     check a ttl=15m  -> allow 0
			14m    check b          -> defer 1m0s
			14m    commit a         -> committed
			15m    check b          -> allow 0`},
		"a send counts from its check until its commit and a window": {perMinute(2), `
			0s     check a   -> allow 1
			59s    check b   -> allow 0
			59s    commit b  -> committed
			60s    commit a  -> committed
			118s   check c   -> defer 1s
			119s   check c   -> allow 0
			119.9s check d   -> defer 100ms
			120s   check d   -> allow 0`},
		"a burst at the end of one clock minute leaves no room at the start of the next": {
			perMinute(2),
			`
			47s    check a   -> allow 1
			47s    check b   -> allow 0
			47s    commit a  -> committed
			47s    commit b  -> committed
			48s    check c   -> defer 59s`,
		},
		"a commit without a reservation may exceed a limit, and holds later sends back": {
			perMinute(1),
			`
			0s     commit    -> unreserved
			1s     commit    -> unreserved
			2s     usage     -> 2/2/2 + 0
			2s     check a   -> defer 59s
			60s    check a   -> defer 1s
			61s    check a   -> allow 0`,
		},
		"the hour and the day end as exactly as the minute": {
			limiter.Policy{Limits: Limits(0, 1, 2)},
			`
			0s             check a   -> allow 0
			0s             commit a  -> committed
			3599.999s      check b   -> defer 1ms
			3600s          check b   -> allow 0
			3600s          commit b  -> committed
			86399.999s     check c   -> defer 1ms
			86400s         check c   -> allow 0`,
		},
	})
}

func (s suite) testG2DeniedCheckChangesNothing(t *testing.T) {
	s.playAll(t, map[string]timelineCase{
		"a denial by one window charges no other": {limiter.Policy{Limits: Limits(1, 10, 10)}, `
			0s  check a   -> allow 0
			0s  commit a  -> committed
			1s  check b   -> defer 59s
			1s  check c   -> defer 59s
			1s  usage     -> 1/1/1 + 0
			1s  held      -> 0`},
		"a cost is taken whole or not at all": {perMinute(3), `
			0s  check a cost=2  -> allow 1
			0s  check b cost=2  -> defer 1m0s
			0s  check c         -> allow 0`},
		"an id that was denied is not taken": {perMinute(1), `
			0s   check a   -> allow 0
			0s   check b   -> defer 1m0s
			0s   release b -> no reservation
			0s   release a -> released
			0s   check b   -> allow 0`},
		"a check refused for want of room for reservations takes no slot": {limiter.Policy{}, `
			0s  check a -> allow
			0s  check b -> allow
			0s  check c -> allow
			0s  check d -> allow
			0s  check e -> overloaded
			0s  usage   -> 0/0/0 + 4
			0s  commit a -> committed
			0s  check e -> allow`},
	})
}

func (s suite) testG3EarliestSlot(t *testing.T) {
	s.playAll(t, map[string]timelineCase{
		"the wait is until enough of the oldest sends have left": {perMinute(3), `
			0s      check a cost=1 -> allow 2
			0s      commit a       -> committed
			5s      check b cost=2 -> allow 0
			5s      commit b       -> committed
			10s     check c cost=1 -> defer 50s
			10s     check c cost=2 -> defer 55s
			10s     check c cost=3 -> defer 55s
			59.999s check c cost=1 -> defer 1ms
			60s     check c cost=1 -> allow 0`},
		"the longest wait over the exhausted windows holds": {
			limiter.Policy{Limits: Limits(1, 1, 5)},
			`
			0s        check a -> allow 0
			0s        commit a -> committed
			30s       check b -> defer 59m30s
			3599.999s check b -> defer 1ms
			3600s     check b -> allow 0`,
		},
		"what is in flight is taken as committed now": {perMinute(2), `
			0s   check a          -> allow 1
			0s   commit a         -> committed
			10s  check b          -> allow 0
			20s  check c          -> defer 40s
			20s  check c cost=2   -> defer 1m0s
			20s  commit b         -> committed
			80s  check c cost=2   -> allow 0`},
		"rejections carry the same time": {
			limiter.Policy{Limits: Limits(1, 0, 0), Behavior: limiter.Reject},
			`
			0s   check a   -> allow 0
			0s   commit a  -> committed
			20s  check b   -> reject 40s`,
		},
		// The timeline starts at 07:58:12.5.
		"a boundary is the next multiple of the first exhausted window": {
			limiter.Policy{Limits: Limits(2, 3, 3), DeferTo: limiter.WindowBoundary}, `
			0s    check a   -> allow 1
			0s    check b   -> allow 0
			0s    commit a  -> committed
			0s    commit b  -> committed
			1s    check c   -> defer 46.5s       # 07:59:00; it is full until 07:59:12.5
			47.5s check c   -> defer 1m0s        # so it asks again there
			60s   check c   -> allow 0
			60s   commit c  -> committed
			61s   check d   -> defer 46.5s       # hour and day are full; the hour's is 08:00`},
	})
}

func (s suite) testG4NothingLeaks(t *testing.T) {
	s.playAll(t, map[string]timelineCase{
		"the slot of a dead caller counts as sent at its deadline": {perMinute(1), `
			0s        check a ttl=30s -> allow 0
			29.999s   usage    -> 0/0/0 + 1
			30s       usage    -> 1/1/1 + 0
			89.999s   check b  -> defer 1ms
			90s       check b  -> allow 0`},
		"that holds also when nobody looked at the account in between": {perMinute(1), `
			0s      check a ttl=30s -> allow 0
			89.999s check b         -> defer 1ms
			90s     check b         -> allow 0`},
		"deadlines pass in their own order, not in that of the checks": {perMinute(2), `
			0s     check a ttl=50s -> allow 1
			1s     check b ttl=10s -> allow 0
			70.9s  check c         -> defer 100ms
			71s    check c         -> allow 0
			109.9s check d         -> defer 100ms
			110s   check d         -> allow 0`},
		"expired reservations no longer count against the bound on all accounts": {
			limiter.Policy{},
			`
			0s   check a ttl=1s -> allow
			0s   check b ttl=1s -> allow
			0s   held           -> 2
			1s   sweep
			1s   held           -> 0`,
		},
	})
}

func (s suite) testG5Once(t *testing.T) {
	s.playAll(t, map[string]timelineCase{
		"the same check holds one slot, and keeps its deadline": {perMinute(2), `
			0s   check a ttl=30s -> allow 1
			10s  check a ttl=30s -> allow 1
			10s  usage           -> 0/0/0 + 1
			30s  usage           -> 1/1/1 + 0`},
		"the same commit counts once": {perMinute(5), `
			0s   check a  -> allow 4
			1s   commit a -> committed
			2s   commit a -> committed
			3s   commit a cost=4 -> committed
			3s   usage    -> 1/1/1 + 0`},
		"the same release frees once": {perMinute(2), `
			0s   check a   -> allow 1
			0s   check b   -> allow 0
			0s   release a -> released
			0s   release a -> released
			0s   usage     -> 0/0/0 + 1`},
		"a late commit and one of an unknown id are counted once, too": {perMinute(5), `
			0s   check a ttl=1s -> allow 4
			2s   commit a       -> late
			3s   commit a       -> late
			4s   commit z       -> unreserved
			5s   commit z       -> unreserved
			5s   usage          -> 2/2/2 + 0`},
		"an id cannot be checked again with another cost, nor after its end": {perMinute(5), `
			0s   check a cost=2 -> allow 3
			0s   check a cost=3 -> other cost
			0s   commit a       -> committed
			0s   check a cost=2 -> ended
			0s   check b        -> allow 2
			0s   release b      -> released
			0s   check b        -> ended
			0s   check c ttl=1s -> allow 2
			1s   check c        -> ended`},
		"an ended id is remembered for 15 minutes; then it commits as unreserved": {perMinute(5), `
			0s       check a  -> allow 4
			1s       commit a -> committed
			900.999s commit a -> committed
			901s     commit a -> unreserved
			901s     usage    -> 1/2/2 + 0`},
	})
}

func (s suite) testG6ConsumingIsNeverRefused(t *testing.T) {
	s.playAll(t, map[string]timelineCase{
		"a commit after the deadline counts from the commit on, and once": {perMinute(1), `
			0s    check a ttl=10s -> allow 0
			30s   commit a        -> late
			30s   usage           -> 1/1/1 + 0
			89.9s check b         -> defer 100ms
			90s   check b         -> allow 0`},
		"also when its deadline has left the minute already": {
			limiter.Policy{Limits: Limits(1, 9, 0)},
			`
			0s    check a ttl=10s -> allow 0
			69s   usage           -> 1/1/1 + 0
			71s   usage           -> 0/1/1 + 0
			72s   commit a        -> late
			72s   usage           -> 1/1/1 + 0
			73s   check b         -> defer 59s`,
		},
		"later sends keep their own time when one of them is moved": {perMinute(3), `
			0s    check a ttl=10s -> allow 2
			20s   check b         -> allow 1
			20s   commit b        -> committed
			30s   commit a        -> late
			30s   usage           -> 2/2/2 + 0
			80s   usage           -> 1/2/2 + 0
			90s   usage           -> 0/2/2 + 0`},
		"a commit of an unknown id, of none, or of a released one is recorded": {perMinute(3), `
			0s   commit x  -> unreserved
			0s   commit    -> unreserved
			0s   check a   -> allow 0
			0s   release a -> released
			0s   commit a  -> unreserved
			0s   usage     -> 3/3/3 + 0`},
		"a commit may say what really left": {perMinute(10), `
			0s   check a cost=5  -> allow 5
			0s   commit a cost=3 -> committed
			0s   usage           -> 3/3/3 + 0
			0s   check b cost=5  -> allow 2
			0s   commit b cost=9 -> committed
			0s   usage           -> 12/12/12 + 0`},
		"without an id the oldest outstanding one is meant": {perMinute(3), `
			0s   check a cost=2 -> allow 1
			0s   check b        -> allow 0
			1s   release        -> released
			1s   usage          -> 0/0/0 + 1
			1s   commit         -> committed
			1s   commit b       -> committed
			1s   release        -> no reservation
			1s   commit         -> unreserved`},
		"a release of what was committed, has expired or is unknown frees nothing": {perMinute(3), `
			0s   check a        -> allow 2
			0s   commit a       -> committed
			0s   release a      -> ended
			0s   check b ttl=1s -> allow 1
			1s   release b      -> ended
			1s   release x      -> no reservation
			1s   usage          -> 2/2/2 + 0`},
	})
}

func (s suite) testG7LimitsMoveHistoryStays(t *testing.T) {
	s.playAll(t, map[string]timelineCase{
		"raising frees at once": {perMinute(1), `
			0s  check a -> allow 0
			0s  check b -> defer 1m0s
			0s  apply minute=2 -> changed
			0s  check b -> allow 0`},
		"lowering forgives nothing and honours what is held": {perMinute(3), `
			0s   check a  -> allow 2
			0s   check b  -> allow 1
			0s   commit a -> committed
			1s   apply minute=1 -> changed
			1s   check c  -> defer 1m0s
			1s   commit b -> committed
			60s  check c  -> defer 1s
			61s  check c  -> allow 0`},
		"a limit added later sees the past day": {limiter.Policy{}, `
			0s     check a  -> allow
			0s     commit a -> committed
			3h     check b  -> allow
			3h     commit b -> committed
			20h    apply day=2 -> changed
			20h    check c  -> defer 4h0m0s
			24h    check c  -> allow 0`},
		"the same policy again changes nothing": {perMinute(1), `
			0s  apply minute=1 -> same
			0s  apply minute=2 -> changed`},
		"suspension denies every check, keeps what is held, and ends": {perMinute(2), `
			0s  check a -> allow 1
			1s  apply minute=2 suspend=true -> changed
			1s  check a -> defer suspended
			1s  check b -> defer suspended
			1s  commit a -> committed
			2s  apply minute=2 -> changed
			2s  check b -> allow 0`},
	})
}

func (s suite) testG8TimeOnlyGoesForward(t *testing.T) {
	s.playAll(t, map[string]timelineCase{
		"a step of the wall clock neither frees nor freezes a slot": {perMinute(1), `
			0s      check a  -> allow 0
			0s      commit a -> committed
			1s      wall step=24h
			1s      check b  -> defer 59s
			2s      wall step=-72h
			59.999s check b  -> defer 1ms
			60s     check b  -> allow 0`},
		"a reading that comes to the lock late does not turn time back": {perMinute(1), `
			0s      check a  -> allow 0
			10s     commit a -> committed
			9s      check b  -> defer 1m1s
			70s     check b  -> allow 0
			69s     commit b -> committed
			129.9s  check c  -> defer 100ms
			130s    check c  -> allow 0`},
	})
}

func (s suite) testG10ClosedOnDoubt(t *testing.T) {
	l := s.unloaded(t)
	l.Apply(account, "uid-1", perMinute(1))
	tl := &timeline{t: t, l: l}
	tl.play(`
		0s  check a                    -> not loaded
		0s  check a account=unknown    -> not loaded
		0s  commit a                   -> not loaded
		0s  release a                  -> not loaded
		0s  usage                      -> not loaded`)
	_, _, err := l.List(limiter.Instant{}, "", limiter.Key{}, 10)
	if !errors.Is(err, limiter.ErrNotLoaded) {
		t.Errorf("List before MarkLoaded: %v", err)
	}
	l.MarkLoaded()
	tl.play(`
		0s  check a                    -> allow 0
		0s  check a account=unknown    -> no account`)
	if (limiter.Decision{}).Verdict == limiter.Allowed {
		t.Error("the zero decision is Allow")
	}
}

func (s suite) testG11PurgeIsComplete(t *testing.T) {
	s.playAll(t, map[string]timelineCase{
		"the same name with another uid starts empty": {perMinute(2), `
			0s  check a  -> allow 1
			0s  commit a -> committed
			0s  check b  -> allow 0
			1s  apply uid=uid-2 minute=2 -> changed
			1s  usage    -> 0/0/0 + 0
			1s  held     -> 0
			1s  check b  -> allow 1`},
		"a purged account is not found": {perMinute(2), `
			0s  check a  -> allow 1
			0s  purge    -> 1
			0s  held     -> 0
			0s  check a  -> no account
			0s  commit a -> no account
			0s  apply uid=uid-2 minute=2 -> changed
			0s  check a  -> allow 1`},
	})
}
