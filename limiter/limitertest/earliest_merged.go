package limitertest

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/sluice-mail/sluice/limiter"
)

// G3 where G9 has its price: of more than 8,192 stamps in a window neighbours merge, so that a slot
// may free 1/8192 of the window late, never early. Whoever comes back when told is admitted all the
// same.

// crowded is an account with far more sends than are kept apart, and all of them exactly.
type crowded struct {
	t    *testing.T
	l    *Harness
	r    *rand.Rand
	now  int64
	sent []send
	sums []int64 // of the costs up to and including each of sent
	held []int64 // the costs of what is outstanding
	ids  int
}

// gather makes an account that has sent for seconds, minutes, hours or days, at one pace or
// several.
func (s suite) gather(t *testing.T, r *rand.Rand) *crowded {
	c := &crowded{t: t, l: s.open(t, Options{}), r: r}
	c.l.Apply(account, "uid", limiter.Policy{})
	paces := []time.Duration{
		100 * time.Microsecond,
		time.Millisecond,
		100 * time.Millisecond,
		2500 * time.Millisecond,
	}
	for range 1 + r.IntN(4) {
		pace := int64(paces[r.IntN(len(paces))])
		for range 8_000 + r.IntN(30_000) {
			c.now += r.Int64N(2 * pace)
			c.send(1 + r.Int64N(3))
		}
	}
	for range r.IntN(4) {
		cost := 1 + r.Int64N(9)
		c.check(c.now, c.ask(cost, 15*time.Minute), limiter.Allowed)
		c.held = append(c.held, cost)
	}
	total := int64(0)
	for _, s := range c.sent {
		total += s.cost
		c.sums = append(c.sums, total)
	}
	return c
}

// send records a mail. One in a thousand had a reservation, and is committed late.
func (c *crowded) send(cost int64) {
	id := ""
	if c.r.IntN(1000) == 0 {
		ask := c.ask(cost, 1)
		c.check(c.now, ask, limiter.Allowed)
		id = ask.ID
		c.now += 1 + c.r.Int64N(int64(time.Minute))
	}
	c.commit(id, cost)
	c.sent = append(c.sent, send{c.now, amount{cost, 1}})
}

func (c *crowded) ask(cost int64, ttl time.Duration) limiter.Ask {
	c.ids++
	return limiter.Ask{ID: fmt.Sprint(c.ids), Cost: cost, TTL: ttl}
}

// check wants one of some verdicts.
func (c *crowded) check(at int64, ask limiter.Ask, want ...limiter.Verdict) limiter.Decision {
	c.t.Helper()
	d, err := c.l.Check(limiter.Instant{Mono: at}, account, ask)
	if err != nil || !slices.Contains(want, d.Verdict) {
		c.t.Errorf("a check %s after the last send: %s", time.Duration(at-c.now), describe(d, err))
	}
	return d
}

func (c *crowded) commit(id string, cost int64) {
	c.t.Helper()
	if _, err := c.l.Commit(limiter.Instant{Mono: c.now}, account, id, cost); err != nil {
		c.t.Fatal(err)
	}
}

func (c *crowded) inFlight() (sum int64) {
	for _, cost := range c.held {
		sum += cost
	}
	return sum
}

// inside is how much is in a window, and what was sent before it.
func (c *crowded) inside(w limiter.Window) (used, before int64) {
	oldest, _ := slices.BinarySearchFunc(
		c.sent,
		c.now-int64(w.Length())+1,
		func(s send, at int64) int { return int(s.at - at) },
	)
	if oldest > 0 {
		before = c.sums[oldest-1]
	}
	return c.sums[len(c.sums)-1] - before, before
}

// freeIn is how long it exactly takes until a window has room for a cost, if what is outstanding is
// committed now.
func (c *crowded) freeIn(w limiter.Window, limit, cost int64) time.Duration {
	used, before := c.inside(w)
	excess := used + c.inFlight() + cost - limit
	switch {
	case excess <= 0:
		return 0
	case excess > used:
		return w.Length()
	}
	last, _ := slices.BinarySearch(c.sums, before+excess)
	return w.Length() - time.Duration(c.now-c.sent[last].at)
}

// probe moves the limits to where a check hardly fits, or does not by a little or by much, and
// compares the answer of each window with the exact one. It returns the longest exact wait.
func (c *crowded) probe() (ask limiter.Ask, d limiter.Decision, exactly time.Duration) {
	var p limiter.Policy
	ask = c.ask(1+c.r.Int64N(5), time.Minute)
	for w := range limiter.Window(limiter.Windows) {
		if used, _ := c.inside(w); c.r.IntN(3) > 0 {
			room := []int64{-1, 0, used - 1, used, c.r.Int64N(used + 1)}[c.r.IntN(5)]
			p.Limits[limiter.Cost][w] = max(ask.Cost, ask.Cost+c.inFlight()+room)
		}
	}
	c.l.Apply(account, "uid", p)
	d = c.check(c.now, ask, limiter.Allowed, limiter.Deferred)
	told := map[limiter.Window]time.Duration{}
	for _, e := range d.Exhausted {
		told[e.Window] = e.FreeIn
	}
	for w, limit := range p.Limits[limiter.Cost] {
		if limit == 0 {
			continue
		}
		w := limiter.Window(w)
		told, exact := told[w], c.freeIn(w, limit, ask.Cost)
		if told < exact || told > exact+w.Length()/8192 {
			c.t.Errorf(
				"the %s, limited to %d, is told to have room for %d in %s; exactly that is in %s",
				w,
				limit,
				ask.Cost,
				told,
				exact,
			)
		}
		exactly = max(exactly, exact)
	}
	if d.Verdict == limiter.Allowed {
		if _, err := c.l.Release(limiter.Instant{Mono: c.now}, account, ask.ID); err != nil {
			c.t.Fatal(err)
		}
	}
	return ask, d, exactly
}

// comeBack commits what is outstanding, and repeats a denied check when told, and a millisecond
// before that would be right.
func (c *crowded) comeBack(ask limiter.Ask, d limiter.Decision, exactly time.Duration) {
	for range c.held {
		c.commit("", 0)
	}
	c.check(c.now+max(0, int64(exactly-time.Millisecond)), ask, limiter.Deferred)
	c.check(deferredUntil(limiter.Instant{Wall: c.now}, d.RetryAfter), ask, limiter.Allowed)
}

// testEarliestSlotOfMergedHistories gathers one history per 500 of rapid's checks. Their seeds are
// those from 0 on, so a failure is there again the next time.
func (s suite) testEarliestSlotOfMergedHistories(t *testing.T) {
	checks, _ := flag.Lookup("rapid.checks").Value.(flag.Getter).Get().(int)
	histories, sends, probes := max(1, checks/500), 0, 0
	for seed := range histories {
		c := s.gather(t, rand.New(rand.NewPCG(uint64(seed), 0)))
		for n, done := 0, false; !done; n++ {
			ask, d, exactly := c.probe()
			if done = n >= 50 && exactly > 0; done {
				c.comeBack(ask, d, exactly)
			}
			probes++
		}
		if sends += len(c.sent); t.Failed() {
			t.Fatalf("this was seed %d", seed)
		}
	}
	t.Logf(
		"%d answers from %d histories of %d sends are as exact as promised",
		probes,
		histories,
		sends,
	)
}
