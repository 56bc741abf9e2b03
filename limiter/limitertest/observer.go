package limitertest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sluice-mail/sluice/limiter"
)

// The guarantee as the provider sees it. It counts each mail at an instant of its own between the
// mail's check and its commit, or its deadline if the caller died or was late. Callers lose answers
// and ask again, die before or after they sent, commit late, twice or less than they reserved;
// limits move; the account is deleted and created again.
//
// What the provider is promised, while the limits stand still, is that no real window holds more
// than its limit. While they move, one number has to be chosen, and this is the tightest that is
// true: no real window holds more than the limit in force at the last of the checks whose mails it
// holds. At that check all the others were counted, in flight or as stamps, because each counts
// from its check until a window after it was sent; and so they fitted together.
//
// The promise does not speak of
//   - mails without a reservation, or sent after their deadline or release: they are on top,
//     whatever the limiter does;
//   - callers that commit or release "the oldest" without an id: they may end the reservation of
//     another;
//   - the account of the same name before it was deleted: a recreated one starts empty.

// verbs is the limiter as its callers know it.
type verbs interface {
	Check(limiter.Instant, limiter.Key, limiter.Ask) (limiter.Decision, error)
	Commit(limiter.Instant, limiter.Key, string, int64) (limiter.Outcome, error)
	Release(limiter.Instant, limiter.Key, string) (limiter.Outcome, error)
	Sweep(limiter.Instant)
}

// operated is the limiter as its operator knows it.
type operated interface {
	Apply(k limiter.Key, uid string, p limiter.Policy) (changed bool)
	Purge(k limiter.Key) (entries int)
	PolicyInForce(k limiter.Key, uid string) (limiter.Policy, bool)
	Usage(now limiter.Instant, k limiter.Key) (limiter.Usage, error)
}

// observer is one run of the simulation.
type observer struct {
	limiter  operated // for the operator, who moves limits
	verbs    verbs    // for the callers
	logf     func(format string, args ...any)
	agenda   []event // by instant; those of one instant in the order in which they were planned
	limits   limiter.Limits
	life     int // of the account: how often it was created
	checks   int // how many reservations were made
	counted  []counted
	notEmpty string // a new account that was not
}

type event struct {
	at int64
	do func(now int64)
}

// counted is a mail as the provider counts it, and what the limits were at its check.
type counted struct {
	sent, cost  int64
	life, check int
	limits      limiter.Limits
}

// observe plays a plan and returns what the provider has to complain about, or nothing.
func (s suite) observe(t TB, p plan, build func(*Harness) verbs, logf func(string, ...any)) string {
	l := s.open(t, Options{})
	return observe(p, &observer{limiter: l, verbs: build(l), logf: logf})
}

// observe plays a plan to an observer.
func observe(p plan, o *observer) (complaint string) {
	o.create(0, p.limits)
	at := int64(0)
	for i, m := range p.mails {
		at += m.pause
		o.at(at, func(now int64) { o.check(now, fmt.Sprint("mail-", i), m) })
	}
	at = 0
	for _, m := range p.moves {
		at += m.pause
		o.at(at, func(now int64) { o.move(now, m) })
	}
	for len(o.agenda) > 0 {
		next := o.agenda[0]
		o.agenda = o.agenda[1:]
		next.do(next.at)
	}
	return o.complaint()
}

// at puts something on the agenda.
func (o *observer) at(at int64, do func(now int64)) {
	i, _ := slices.BinarySearchFunc(o.agenda, at, func(e event, at int64) int {
		if e.at <= at {
			return -1
		}
		return 1
	})
	o.agenda = slices.Insert(o.agenda, i, event{at, do})
}

// create makes the account, or one of the same name once more, which must start empty.
func (o *observer) create(now int64, limits limiter.Limits) {
	o.life++
	o.limits = limits
	o.limiter.Apply(account, fmt.Sprint("uid-", o.life), limiter.Policy{Limits: limits})
	u, err := o.limiter.Usage(limiter.Instant{Mono: now}, account)
	if err != nil || u.InFlight+u.Window(limiter.Cost, limiter.Day).Used > 0 {
		o.notEmpty = fmt.Sprintf(
			"the account created at %s holds %+v, %v",
			time.Duration(now),
			u,
			err,
		)
	}
}

func (o *observer) move(now int64, m move) {
	o.logf("%s %s %v", time.Duration(now), m.what, m.limits)
	_, exists := o.limiter.PolicyInForce(account, fmt.Sprint("uid-", o.life))
	switch {
	case m.what == "sweep":
		o.verbs.Sweep(limiter.Instant{Mono: now})
	case m.what == "delete":
		o.limiter.Purge(account)
	case m.what == "replace", !exists:
		o.create(now, m.limits)
	case m.what == "limits":
		o.limits = m.limits
		o.limiter.Apply(account, fmt.Sprint("uid-", o.life), limiter.Policy{Limits: m.limits})
	}
}

// check is a caller's first call, and its next ones as long as it is denied.
func (o *observer) check(now int64, id string, m mailPlan) {
	reading := now - m.lag
	d, err := o.verbs.Check(
		limiter.Instant{Mono: reading},
		account,
		limiter.Ask{ID: id, Cost: m.cost, TTL: time.Duration(m.ttl)},
	)
	o.logf(
		"%s check %s cost %d ttl %s, read %s ago -> %s",
		time.Duration(now),
		id,
		m.cost,
		time.Duration(m.ttl),
		time.Duration(m.lag),
		describe(d, err),
	)
	switch {
	case d.Verdict == limiter.Allowed:
		o.allowed(now, id, m, reading+int64(d.ExpiresIn))
	case d.RetryAfter > 0 && m.comesBack > 0:
		m.comesBack--
		o.at(max(now, reading+int64(d.RetryAfter)), func(now int64) { o.check(now, id, m) })
	}
}

// allowed plans what a caller does after it got its slot.
func (o *observer) allowed(now int64, id string, m mailPlan, deadline int64) {
	o.checks++
	if deadline < now { // it hears so late that it must not send
		return
	}
	leaves := m.then != releases && m.then != diesUnsent
	sent := now
	if leaves {
		sent = m.sent.in(now, deadline)
		o.logf("  the provider counts %d of %s at %s", m.left, id, time.Duration(sent))
		o.counted = append(o.counted, counted{sent, m.left, o.life, o.checks, o.limits})
	}
	if m.asksAgain {
		o.at(m.again.in(now, deadline), func(now int64) {
			_, err := o.verbs.Check(
				limiter.Instant{Mono: now - m.lag},
				account,
				limiter.Ask{ID: id, Cost: m.cost, TTL: time.Duration(m.ttl)},
			)
			o.logf("%s check %s again -> %v", time.Duration(now), id, err)
		})
	}
	// No caller reads the clock for its commit before its mail has left.
	end := func(verb string) func(int64) {
		return func(now int64) { o.end(now, max(sent, now-m.lag), verb, id, m.left) }
	}
	var last int64 // when the caller is done
	switch m.then {
	case commits:
		last = m.ends.in(sent, deadline)
		o.again(last, m.repeats, end("commit"))
	case commitsLate:
		last = deadline + m.late
		o.again(last, m.repeats, end("commit"))
	case releases:
		last = m.ends.in(now, deadline)
		o.again(last, m.repeats, end("release"))
	case diesSent, diesUnsent:
		last = deadline
	}
	if m.stray > 0 {
		o.at(last+m.stray, func(now int64) { o.end(now, now, "release", id, 0) })
	}
}

// again plans a call and its repetitions.
func (o *observer) again(at int64, later []int64, do func(now int64)) {
	o.at(at, do)
	for _, pause := range later {
		at += pause
		o.at(at, do)
	}
}

// end commits or releases.
func (o *observer) end(now, reading int64, verb, id string, cost int64) {
	at := limiter.Instant{Mono: reading}
	var out limiter.Outcome
	var err error
	if verb == "commit" {
		out, err = o.verbs.Commit(at, account, id, cost)
	} else {
		out, err = o.verbs.Release(at, account, id)
	}
	o.logf("%s %s %s -> %s", time.Duration(now), verb, id, outcome(out, err))
}

// complaint is a real window that holds more than was promised, or a new account that was not
// empty.
func (o *observer) complaint() string {
	if o.notEmpty != "" {
		return o.notEmpty
	}
	return complaint(o.counted)
}

// complaint is a real window that holds more than was promised, or nothing. It is enough to look at
// the windows that end with a mail.
func complaint(mails []counted) string {
	for _, last := range mails {
		for _, r := range rows {
			var sum int64
			newest := last
			for _, m := range mails {
				if m.life != last.life || m.sent > last.sent ||
					m.sent <= last.sent-int64(r.window.Length()) {
					continue
				}
				sum += r.of(amount{m.cost, 1})
				if m.check > newest.check {
					newest = m
				}
			}
			if limit := newest.limits[r.unit][r.window]; limit > 0 && sum > limit {
				return fmt.Sprintf(
					"the %v up to %s holds %d, the limit was %d",
					r,
					time.Duration(last.sent),
					sum,
					limit,
				)
			}
		}
	}
	return ""
}

// testObserver plays random plans, and wants the provider to be content.
func (s suite) testObserver(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := plans.Draw(t, "plan")
		asItIs := func(l *Harness) verbs { return l }
		if complaint := s.observe(t, p, asItIs, t.Logf); complaint != "" {
			t.Fatal(complaint)
		}
	})
}
