package server

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestABurstIsNoOverload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := crowd{start: time.Now()}
		for i, step := range []struct {
			pause   time.Duration
			tooLong bool
			refuses bool
		}{
			{0, true, false}, // a burst begins
			{99 * time.Millisecond, true, false},
			{0, false, false}, // and is over
			{time.Minute, true, false},
			{99 * time.Millisecond, true, false},
			{time.Millisecond, true, true}, // this one is none
			{0, false, false},              // refusals make the queue short
			{999 * time.Millisecond, true, true},
			{999 * time.Millisecond, false, false},
			{time.Millisecond, true, false}, // after a quiet second, the next one may be a burst
			{100 * time.Millisecond, true, true},
		} {
			time.Sleep(step.pause) // of the bubble's clock
			if got := c.refuses(step.tooLong); got != step.refuses {
				t.Errorf("step %d: it refuses: %v, want %v", i, got, step.refuses)
			}
		}
	})
}
