package limitertest

import (
	"fmt"
	"testing"
	"time"

	"github.com/sluice-mail/sluice/limiter"
)

// G8 against what clocks really do. A suspended machine is one whose wall clock jumps while the
// monotonic one stood still; a leap second is one in which the wall clock reads the same second
// twice.

// jumps are how far the wall clock jumps, from a reading of 07:58:15.5.
var jumps = map[string]time.Duration{
	"an hour forward": time.Hour,
	"an hour back":    -time.Hour,
	"a day forward":   24 * time.Hour,
	"a day back":      -24 * time.Hour,
	"a night asleep":  8*time.Hour + 20*time.Second,
	"a leap second":   -time.Second,
	"into the last second before 2038": time.Unix(1<<31, 0).
		Sub(start) -
		3*time.Second - time.Second/2,
	"back to 1970": time.Unix(0, 0).Sub(start),
}

// testJumpsOfTheWallClock wants windows, deadlines and the memory of ids to pass as if nothing had
// happened: no slot is free before its time, and none after it. The clock jumps once, or jumps and
// is set right again.
func (s suite) testJumpsOfTheWallClock(t *testing.T) {
	const script = `
		0s        check a          -> allow 1
		1s        commit a         -> committed
		2s        check b ttl=30s  -> allow 0
		3s        wall step=%s
		3s        check c          -> defer 58s
		3s        usage            -> 1/1/1 + 1
		31.999s   usage            -> 1/1/1 + 1
		32s       usage            -> 2/2/2 + 0
		33s       wall step=%s
		60.999s   check c          -> defer 1ms
		61s       check c          -> allow 0
		61s       commit c         -> committed
		900.999s  commit a         -> committed     # still remembered
		3600.999s check d          -> defer 1ms
		3601s     check d          -> allow 0
		3601s     commit d         -> committed
		86400.999s usage           -> 0/0/4 + 0
		86401s    usage            -> 0/0/3 + 0`
	policy := limiter.Policy{Limits: Limits(2, 3, 9)}
	for name, jump := range jumps {
		t.Run(
			name,
			func(t *testing.T) { s.play(t, policy, fmt.Sprintf(script, jump, 0*time.Second)) },
		)
		t.Run(
			name+", and set right",
			func(t *testing.T) { s.play(t, policy, fmt.Sprintf(script, jump, -jump)) },
		)
	}
}

// testBoundariesFollowTheWallClock wants the one answer that is a time of day to be one of the
// clock as it is now, and the slot to be free when it is, whatever was told.
func (s suite) testBoundariesFollowTheWallClock(t *testing.T) {
	policy := limiter.Policy{Limits: Limits(1, 0, 0), DeferTo: limiter.WindowBoundary}
	// From the start, at 07:58:12.5, to half a second before 2038-01-19T03:14:08Z.
	to2038 := time.Unix(1<<31, 0).Sub(start) - time.Second/2
	s.playAll(t, map[string]timelineCase{
		"a step forward brings the boundary nearer": {policy, `
			0s     commit            -> unreserved
			1s     check a           -> defer 46.5s
			1s     wall step=1h20s
			1s     check a           -> defer 26.5s
			27.5s  check a           -> defer 1m0s
			60s    check a           -> allow 0`},
		"a step back moves it away, for a minute at most": {policy, `
			0s     commit            -> unreserved
			1s     wall step=-24h0m20s
			1s     check a           -> defer 6.5s
			7.5s   check a           -> defer 1m0s
			60s    check a           -> allow 0`},
		"whoever sleeps through the boundary is told the next": {policy, `
			0s     commit            -> unreserved
			1s     wall step=8h50s
			1s     check a           -> defer 56.5s
			59.9s  check a           -> defer 57.6s
			60s    check a           -> allow 0`},
		"a leap second comes before the boundary twice": {policy, `
			0s     commit            -> unreserved
			47.4s  check a           -> defer 100ms
			47.5s  wall step=-1s
			47.5s  check a           -> defer 1s
			48.5s  check a           -> defer 1m0s
			60s    check a           -> allow 0`},
		"seconds that do not fit into 31 bits": {policy, fmt.Sprintf(`
			0s     commit            -> unreserved
			0s     wall step=%s
			0s     check a           -> defer 52.5s
			1s     check a           -> defer 51.5s
			52.5s  check a           -> defer 1m0s
			60s    check a           -> allow 0`, to2038)},
	})
}
