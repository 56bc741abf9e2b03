package faults

import (
	"testing"
	"time"

	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/redis/redistest"
)

// TestServersClockJumps has the server's clock jump by an hour, ahead, back and back once more,
// while mails are sent. The hour's history is not freed, and the second's does not freeze. Around a
// jump the second's window may be half a second shorter, as the clock is believed so far: then it
// holds as much again.
func TestServersClockJumps(t *testing.T) {
	t.Parallel()
	s := redistest.New(t, redistest.Options{ShiftableClock: true})
	const perSecond, perHour = 60, 600
	of := limiter.Limits{limiter.Cost: {limiter.Second: perSecond, limiter.Hour: perHour}}
	o := options(s.URL())
	o.Keeper = &keeper{}
	all := []*replica{ready(t, o, of), ready(t, o, of)}
	l := send(t, all...)
	for _, shift := range []time.Duration{time.Hour, 0, -time.Hour} {
		l.awaitAllowed(perSecond / 2)
		s.ShiftClock(t, shift)
		l.awaitAllowed(2 * perSecond)    // it goes on
		fresh := l.also(ready(t, o, of)) // a replica that starts meanwhile
		fresh.awaitAllowed(5)
		fresh.end()
	}
	bear := of
	bear[limiter.Cost][limiter.Second] *= 2
	l.finishOver(of, bear, 0)
}
