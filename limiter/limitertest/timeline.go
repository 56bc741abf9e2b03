package limitertest

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sluice-mail/sluice/limiter"
)

// start is when timelines begin on the wall clock: 12.5 s past a minute, and not on an hour or a
// day either.
var start = time.Date(2026, 11, 23, 7, 58, 12, 500_000_000, time.UTC)

var account = limiter.Key{Namespace: "marketing", Name: "newsletter"}

// timeline drives one limiter along a script. Each line is an instant, a call, and the answer it
// must get:
//
//	0s        check a              -> allow 1
//	0.5s      check b cost=2       -> defer 59.5s
//
// Blank lines and what follows a # are ignored. The verbs are in perform.
type timeline struct {
	t    *testing.T
	l    *Harness
	step time.Duration // of the wall clock against the monotonic one
}

// play runs a script on a fresh limiter with one account under the given policy.
func (s suite) play(t *testing.T, p limiter.Policy, script string) {
	t.Helper()
	l := s.open(t, Options{MaxReservations: 4})
	l.Apply(account, "uid-1", p)
	(&timeline{t: t, l: l}).play(script)
}

func (tl *timeline) play(script string) {
	tl.t.Helper()
	for number, line := range strings.Split(script, "\n") {
		line, _, _ = strings.Cut(line, "#")
		if strings.TrimSpace(line) == "" {
			continue
		}
		call, want, _ := strings.Cut(line, "->")
		want = strings.TrimSpace(want)
		fields := strings.Fields(call)
		at, err := time.ParseDuration(fields[0])
		if err != nil {
			tl.t.Fatalf("line %d: %v", number, err)
		}
		now := limiter.Instant{Mono: int64(at), Wall: start.Add(at + tl.step).UnixNano()}
		if got := tl.perform(now, fields[1], fields[2:]); got != want {
			tl.t.Fatalf("line %d: %s\n got %q\nwant %q", number, strings.TrimSpace(call), got, want)
		}
	}
}

func (tl *timeline) perform(now limiter.Instant, verb string, args []string) string {
	key, id, option := account, "", map[string]string{}
	for _, arg := range args {
		if name, value, ok := strings.Cut(arg, "="); ok {
			option[name] = value
		} else {
			id = arg
		}
	}
	if name := option["account"]; name != "" {
		key.Name = name
	}
	switch verb {
	case "check":
		ask := limiter.Ask{
			ID:   id,
			Cost: number(option["cost"], 1),
			TTL:  duration(option["ttl"], 2*time.Minute),
		}
		d, err := tl.l.Check(now, key, ask)
		return describe(d, err)
	case "commit":
		o, err := tl.l.Commit(now, key, id, number(option["cost"], 0))
		return outcome(o, err)
	case "release":
		o, err := tl.l.Release(now, key, id)
		return outcome(o, err)
	case "usage":
		u, err := tl.l.Usage(now, key)
		if err != nil {
			return outcome(0, err)
		}
		used := func(w limiter.Window) int64 { return u.Window(limiter.Cost, w).Used }
		return fmt.Sprintf("%d/%d/%d + %d",
			used(limiter.Minute), used(limiter.Hour), used(limiter.Day), u.InFlight)
	case "apply":
		var p limiter.Policy
		for w := range limiter.Window(limiter.Windows) {
			p.Limits[limiter.Cost][w] = number(option[w.String()], 0)
			p.Limits[limiter.Messages][w] = number(option["messages/"+w.String()], 0)
		}
		p.Suspended = option["suspend"] == "true"
		uid := option["uid"]
		if uid == "" {
			uid = "uid-1"
		}
		if tl.l.Apply(key, uid, p) {
			return "changed"
		}
		return "same"
	case "purge":
		return strconv.Itoa(tl.l.Purge(key))
	case "sweep":
		tl.l.Sweep(now)
		return ""
	case "expire":
		tl.l.Expire(now)
		return ""
	case "drain":
		tl.l.Drain()
		return ""
	case "held":
		return strconv.Itoa(tl.l.Stats().Reservations)
	case "wall":
		tl.step += duration(option["step"], 0)
		return ""
	}
	tl.t.Fatalf("no such verb: %s", verb)
	return ""
}

func describe(d limiter.Decision, err error) string {
	verdict := map[limiter.Verdict]string{
		limiter.Allowed: "allow", limiter.Deferred: "defer", limiter.Rejected: "reject",
	}[d.Verdict]
	switch {
	case err != nil:
		return outcome(0, err)
	case d.Suspended:
		return verdict + " suspended"
	case d.Verdict == limiter.Allowed:
		if d.Limited {
			return fmt.Sprintf("%s %d", verdict, d.Remaining)
		}
		return verdict
	}
	return fmt.Sprintf("%s %s", verdict, d.RetryAfter)
}

func outcome(o limiter.Outcome, err error) string {
	for text, known := range map[string]error{
		"no account": limiter.ErrAccountNotFound, "no reservation": limiter.ErrReservationNotFound,
		"ended": limiter.ErrReservationEnded, "other cost": limiter.ErrReservationCost,
		"exceeds": limiter.ErrCostExceedsLimit, "overloaded": limiter.ErrOverloaded,
		"invalid": limiter.ErrInvalid, "not loaded": limiter.ErrNotLoaded,
		"draining":           limiter.ErrDraining,
		"account overloaded": limiter.ErrAccountOverloaded,
	} {
		if errors.Is(err, known) {
			return text
		}
	}
	return map[limiter.Outcome]string{
		limiter.Committed: "committed", limiter.Late: "late",
		limiter.Unreserved: "unreserved", limiter.Released: "released",
	}[o]
}

// Limits are limits of cost per minute, hour and day, as most tests have. 0 is no limit.
func Limits(minute, hour, day int64) limiter.Limits {
	return limiter.Limits{
		limiter.Cost: {limiter.Minute: minute, limiter.Hour: hour, limiter.Day: day},
	}
}

func number(s string, otherwise int64) int64 {
	if s == "" {
		return otherwise
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

func duration(s string, otherwise time.Duration) time.Duration {
	if s == "" {
		return otherwise
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		panic(err)
	}
	return d
}
