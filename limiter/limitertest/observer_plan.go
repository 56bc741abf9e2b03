package limitertest

import (
	"time"

	"pgregory.net/rapid"

	"github.com/sluice-mail/sluice/limiter"
)

// plan is one run of the observer's simulation. All of it is drawn beforehand, so that the same run
// can be played to several limiters. Instants that depend on what the limiter answers are places in
// a span.
type plan struct {
	limits limiter.Limits
	mails  []mailPlan
	moves  []move
}

// mailPlan is one mail and what its caller does about it.
type mailPlan struct {
	pause     int64 // after the mail before
	ttl       int64
	cost      int64
	left      int64 // how much of the cost really leaves, and is committed
	lag       int64 // how old the caller's readings of the clock are when they reach the account
	comesBack int   // how often it comes back when it is denied, at the instant it was told
	asksAgain bool  // the answer to its check was lost, so it repeats the check at again
	again     place // between check and deadline
	sent      place // between check and deadline; how the provider counts it
	then      fate
	ends      place   // between sent and deadline; when it commits or releases
	late      int64   // after the deadline; when it does, if it is late
	repeats   []int64 // when it does so again, each after the one before
	stray     int64   // after all that, when somebody else releases the mail; 0: nobody does
}

// fate is how a caller goes on after an allowed check.
type fate string

// The fates. Of the mails that are released and of those whose caller dies unsent, the provider
// never hears.
const (
	commits     fate = "commits"
	commitsLate fate = "commits late"
	releases    fate = "releases"
	diesSent    fate = "dies sent"
	diesUnsent  fate = "dies unsent"
)

// move is something that others than the callers do.
type move struct {
	pause  int64 // after the move before
	what   string
	limits limiter.Limits
}

// place is an instant in a span whose ends are known only when the run is played. The ends
// themselves and a nanosecond inside of them are where a limiter is most likely to be wrong.
type place struct {
	edge    string
	percent int64
}

func (p place) in(from, to int64) int64 {
	at := from
	switch p.edge {
	case "after the start":
		at = from + 1
	case "before the end":
		at = to - 1
	case "end":
		at = to
	case "between":
		at = from + (to-from)/100*p.percent
	}
	return max(from, min(at, to))
}

var places = rapid.Custom(func(t *rapid.T) place {
	edges := []string{"start", "between", "end", "after the start", "before the end"}
	return place{
		rapid.SampledFrom(edges).Draw(t, "edge"),
		rapid.Int64Range(1, 99).Draw(t, "percent"),
	}
})

// pauses are mostly short enough to fill a minute, sometimes long enough to leave an hour or a day.
// Of numbers up to an hour in nanoseconds rapid would draw hardly any above a microsecond.
var pauses = rapid.Custom(func(t *rapid.T) int64 {
	longest := rapid.SampledFrom(
		[]time.Duration{
			0,
			100,
			5 * time.Second,
			20 * time.Second,
			time.Minute,
			time.Hour,
			9 * time.Hour,
		},
	)
	return int64(longest.Draw(t, "longest")) / 100 * rapid.Int64Range(0, 100).Draw(t, "percent")
})

// someLimits are small, and often none at all, so that each window is the one that decides in some
// runs.
var someLimits = rapid.Custom(func(t *rapid.T) limiter.Limits {
	limit := func(name string, largest int64) int64 {
		return max(0, rapid.Int64Range(-largest/2, largest).Draw(t, name))
	}
	l := Limits(limit("minute", 4), limit("hour", 6), limit("day", 9))
	if rapid.IntRange(0, 3).Draw(t, "all rows") == 0 {
		l[limiter.Cost][limiter.Second] = limit("second", 3)
		for w := range limiter.Window(limiter.Windows) {
			l[limiter.Messages][w] = limit("messages/"+w.String(), 4)
		}
	}
	return l
})

var mailPlans = rapid.Custom(func(t *rapid.T) mailPlan {
	m := mailPlan{
		pause: pauses.Draw(t, "pause"),
		ttl: int64(rapid.SampledFrom([]time.Duration{
			time.Minute, 1, time.Second, 20 * time.Second, 15 * time.Minute,
		}).Draw(t, "ttl"),
		),
		cost:      rapid.Int64Range(1, 3).Draw(t, "cost"),
		comesBack: rapid.IntRange(0, 3).Draw(t, "comes back"),
		asksAgain: rapid.IntRange(0, 3).Draw(t, "asks again") == 0,
		again:     places.Draw(t, "again"),
		sent:      places.Draw(t, "sent"),
		then: rapid.SampledFrom([]fate{
			commits, commits, commitsLate, releases, diesSent, diesUnsent,
		}).Draw(t, "then"),
		ends: places.Draw(t, "ends"),
	}
	m.left = rapid.Int64Range(1, m.cost).Draw(t, "left")
	if m.then == diesSent {
		m.left = m.cost
	}
	if rapid.IntRange(0, 3).Draw(t, "slow") == 0 {
		m.lag = int64(
			rapid.SampledFrom([]time.Duration{1, time.Millisecond, 2 * time.Second}).Draw(t, "lag"))
	}
	m.late = rapid.SampledFrom([]int64{
		0, 1, int64(time.Second), int64(time.Minute), int64(20 * time.Minute),
	}).Draw(t, "late")
	after := rapid.SampledFrom(
		[]int64{1, int64(time.Second), int64(time.Minute), int64(16 * time.Minute)},
	)
	m.repeats = rapid.SliceOfN(after, 0, 2).Draw(t, "repeats")
	if rapid.IntRange(0, 3).Draw(t, "stray") == 0 {
		m.stray = after.Draw(t, "stray after")
	}
	return m
})

var moves = rapid.Custom(func(t *rapid.T) move {
	return move{
		pause: pauses.Draw(t, "pause"),
		what: rapid.SampledFrom([]string{
			"limits", "limits", "limits", "sweep", "delete", "create", "replace",
		}).Draw(t, "what"),
		limits: someLimits.Draw(t, "limits"),
	}
})

var plans = rapid.Custom(func(t *rapid.T) plan {
	n := rapid.SampledFrom([]int{1, 5, 20, 50}).Draw(t, "how many")
	return plan{
		limits: someLimits.Draw(t, "limits"),
		mails:  rapid.SliceOfN(mailPlans, n, n).Draw(t, "mails"),
		moves:  rapid.SliceOfN(moves, 0, 10).Draw(t, "moves"),
	}
})
