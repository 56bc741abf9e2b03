package server

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestBurstsAreAdmittedAndNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBursts(2)
		for i, step := range []struct {
			pause time.Duration
			asks  int
			want  int // how many are admitted
		}{
			{0, 1000, 1000}, // a burst
			{time.Second, 1024, 1024},
			{0, 10, 0},                     // this is no burst any more
			{time.Second / 2, 10_000, 500}, // five hundred a second, for each of two cores
			{time.Millisecond, 10, 1},
			{999 * time.Microsecond, 10, 0},
			{time.Microsecond, 10, 1},
			{time.Hour, 10_000, 1024}, // and never more at once
		} {
			time.Sleep(step.pause) // of the bubble's clock
			admitted := 0
			for range step.asks {
				room := b.hasRoom()
				if b.admit() != room {
					t.Fatalf("step %d: there is room: %v, but it says otherwise", i, room)
				}
				if room {
					admitted++
				}
			}
			if admitted != step.want {
				t.Errorf("step %d: %d are admitted, want %d", i, admitted, step.want)
			}
		}
	})
}
