package limiter_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-mail/sluice/limiter"
)

// TestClock wants an Instant to count from the Unix epoch, and to advance with the monotonic clock.
func TestClock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		clock := limiter.StartClock()
		time.Sleep(90 * time.Second)
		want := start.Add(90 * time.Second).UnixNano()
		if got := clock.Now(); got != (limiter.Instant{Mono: want, Wall: want}) {
			t.Errorf("the clock reads %+v, want %d for both", got, want)
		}
	})
}

// TestClockOfTheSystem is the same with the real clocks, of which one may be set at any time.
func TestClockOfTheSystem(t *testing.T) {
	t.Parallel()
	before := time.Now().UnixNano()
	clock := limiter.StartClock()
	first, second := clock.Now(), clock.Now()
	if first.Mono < before-int64(time.Minute) || first.Mono > before+int64(time.Minute) {
		t.Errorf("the first reading is %s after the wall clock", time.Duration(first.Mono-before))
	}
	if second.Mono < first.Mono {
		t.Errorf("the readings went from %d to %d", first.Mono, second.Mono)
	}
}

// TestClockIsSet wants the clock to go on from where it was set, and the wall clock to stay.
func TestClockIsSet(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		clock := limiter.StartClock()
		copied := clock
		clock.Set(5)
		time.Sleep(time.Second)
		want := limiter.Instant{Mono: 5 + int64(time.Second), Wall: time.Now().UnixNano()}
		if got := copied.Now(); got != want {
			t.Errorf("the clock reads %+v, want %+v", got, want)
		}
	})
}
