package limitertest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sluice-mail/sluice/limiter"
)

// model is the limiter as one would write it without a thought for speed: a slice of sends, a slice
// of reservations, and every question answered by looking at all of them.
type model struct {
	limits limiter.Limits
	sends  []send
	held   []held
	ended  map[string]string // id to outcome
	past   map[string]held   // expired or released
}

type send struct {
	at int64
	amount
}

// amount is a cost and a number of messages.
type amount struct{ cost, messages int64 }

// row is a row of the table of limits.
type row struct {
	unit   limiter.Unit
	window limiter.Window
}

// rows are all there can be, in the order in which they are reported.
var rows = func() (all []row) {
	for u := range limiter.Unit(limiter.Units) {
		for w := range limiter.Window(limiter.Windows) {
			all = append(all, row{u, w})
		}
	}
	return all
}()

func (r row) String() string {
	return r.window.String() + map[limiter.Unit]string{limiter.Messages: " of messages"}[r.unit]
}

// of returns what an amount is in the unit of the row.
func (r row) of(a amount) int64 {
	if r.unit == limiter.Messages {
		return a.messages
	}
	return a.cost
}

// used returns how much of some sends is inside the window of the row.
func (r row) used(sends []send, now int64) (sum int64) {
	for _, s := range sends {
		if s.at > now-int64(r.window.Length()) && s.at <= now {
			sum += r.of(s.amount)
		}
	}
	return sum
}

type held struct {
	id             string
	cost, deadline int64
	doubtful       bool // its process was killed: it may have been committed
}

// expire turns what is past its deadline into sends.
func (m *model) expire(now int64) {
	slices.SortStableFunc(m.held, func(a, b held) int { return int(a.deadline - b.deadline) })
	for len(m.held) > 0 && m.held[0].deadline <= now {
		h := m.held[0]
		m.held = m.held[1:]
		m.sends = append(m.sends, h.sent(h.deadline))
		m.ended[h.id], m.past[h.id] = "expired", h
	}
}

// sent is what becomes of a reservation at an instant.
func (h held) sent(at int64) send { return send{at, amount{h.cost, 1}} }

func (m *model) inFlight() (sum amount) {
	for _, h := range m.held {
		sum.cost += h.cost
		sum.messages++
	}
	return sum
}

// fits reports whether a message of this cost fits at an instant, given sends and what is in
// flight.
func (m *model) fits(sends []send, now int64, inFlight amount, cost int64) bool {
	for _, r := range rows {
		limit := m.limits[r.unit][r.window]
		if limit > 0 && r.used(sends, now)+r.of(inFlight)+r.of(amount{cost, 1}) > limit {
			return false
		}
	}
	return true
}

// earliest is the first instant at which a cost fits if what is in flight is committed now: only
// the instants at which a send leaves a window can be it.
func (m *model) earliest(now, cost int64) int64 {
	sends := append(slices.Clone(m.sends), send{now, m.inFlight()})
	best := int64(-1)
	for _, s := range sends {
		for w := range limiter.Window(limiter.Windows) {
			t := s.at + int64(w.Length())
			if t > now && (best < 0 || t < best) && m.fits(sends, t, amount{}, cost) {
				best = t
			}
		}
	}
	return best
}

func (m *model) check(now int64, id string, cost, ttl int64) string {
	for _, h := range m.held {
		if h.id == id {
			if h.cost != cost {
				return "other cost"
			}
			return "allow"
		}
	}
	if m.ended[id] != "" {
		return "ended"
	}
	for _, limit := range m.limits[limiter.Cost] {
		if limit > 0 && cost > limit {
			return "exceeds"
		}
	}
	if !m.fits(m.sends, now, m.inFlight(), cost) {
		return fmt.Sprintf("defer %s", time.Duration(m.earliest(now, cost)-now))
	}
	m.held = append(m.held, held{id: id, cost: cost, deadline: now + ttl})
	return "allow"
}

func (m *model) commit(now int64, id string) string {
	if i := slices.IndexFunc(m.held, func(h held) bool { return h.id == id }); i >= 0 {
		m.sends = append(m.sends, m.held[i].sent(now))
		m.held = slices.Delete(m.held, i, i+1)
		m.ended[id] = "committed"
		return "committed"
	}
	switch m.ended[id] {
	case "expired":
		h := m.past[id]
		i := slices.Index(m.sends, h.sent(h.deadline))
		m.sends = append(slices.Delete(m.sends, i, i+1), h.sent(now))
		m.ended[id] = "late"
		return "late"
	case "", "released":
		m.sends = append(m.sends, send{now, amount{max(1, m.past[id].cost), 1}})
		m.ended[id] = "unreserved"
		return "unreserved"
	}
	return m.ended[id]
}

func (m *model) release(id string) string {
	if i := slices.IndexFunc(m.held, func(h held) bool { return h.id == id }); i >= 0 {
		if m.held[i].doubtful {
			return "ended"
		}
		m.past[id] = m.held[i]
		m.held = slices.Delete(m.held, i, i+1)
		m.ended[id] = "released"
		return "released"
	}
	switch m.ended[id] {
	case "":
		return "no reservation"
	case "released":
		return "released"
	}
	return "ended"
}

// upTo draws percents of a time, or a nanosecond less, so that one instant is often just a window
// after another. Of the numbers up to it rapid would draw hardly any above a microsecond.
func upTo(longest time.Duration) *rapid.Generator[int64] {
	return rapid.Custom(func(t *rapid.T) int64 {
		return max(
			0,
			int64(
				longest,
			)/100*rapid.Int64Range(0, 100).
				Draw(t, "percent")-
				rapid.Int64Range(0, 1).
					Draw(t, "less"),
		)
	})
}

// testModel plays random calls against the limiter and the model, and wants the same answers, to
// the nanosecond.
func (s suite) testModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := s.open(t, Options{})
		m := &model{ended: map[string]string{}, past: map[string]held{}}
		drawLimits := func() {
			m.limits = limiter.Limits{}
			for _, r := range rows {
				m.limits[r.unit][r.window] = rapid.Int64Range(0, 6).Draw(t, r.String())
			}
			l.Apply(account, "uid", limiter.Policy{Limits: m.limits})
		}
		drawLimits()
		var now int64
		// The limiter forgets an id after 15 minutes, and the model never: after 10, other ids are
		// used.
		generation, generationEnd := 0, int64(10*time.Minute)
		id := rapid.Custom(func(t *rapid.T) string {
			return fmt.Sprintf(
				"%d-%s",
				generation,
				rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f"}).Draw(t, "id"),
			)
		})
		pass := func(wait int64) {
			if now += wait; now > generationEnd {
				generation, generationEnd = generation+1, now+int64(10*time.Minute)
			}
			m.expire(now)
		}
		compare := func(got, want string) {
			if got != want {
				t.Fatalf("at %s: got %q, want %q", time.Duration(now), got, want)
			}
			u, err := l.Usage(limiter.Instant{Mono: now}, account)
			if err != nil || u.InFlight != m.inFlight().cost {
				t.Fatalf(
					"at %s: usage is %+v, %v, want %v in flight",
					time.Duration(now),
					u,
					err,
					m.inFlight(),
				)
			}
			for _, w := range u.Windows {
				r := row{w.Unit, w.Window}
				used, inFlight := r.used(m.sends, now), r.of(m.inFlight())
				if w.Limit != m.limits[w.Unit][w.Window] || w.Used != used ||
					w.InFlight != inFlight {
					t.Fatalf(
						"at %s: usage is %+v, want %d + %d",
						time.Duration(now),
						w,
						used,
						inFlight,
					)
				}
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"wait": func(t *rapid.T) { pass(upTo(25*time.Second).Draw(t, "wait")) },
			"wait for an edge": func(t *rapid.T) {
				var edges []int64
				for _, s := range m.sends {
					for w := range limiter.Window(limiter.Windows) {
						if edge := s.at + int64(w.Length()); edge > now {
							edges = append(edges, edge)
						}
					}
				}
				if len(edges) == 0 {
					t.Skip("nothing was sent")
				}
				// At the instant at which a send leaves a window, or a nanosecond before.
				pass(
					rapid.SampledFrom(edges).
						Draw(t, "edge") -
						rapid.Int64Range(0, 1).
							Draw(t, "less") -
						now,
				)
			},
			"wait long": func(t *rapid.T) {
				now += int64(15*time.Minute) + upTo(6*time.Hour).Draw(t, "wait")
				generation, generationEnd = generation+1, now+int64(10*time.Minute)
				m.expire(now)
				if rapid.Bool().Draw(t, "sweep") {
					l.Sweep(limiter.Instant{Mono: now})
				}
			},
			"check": func(t *rapid.T) {
				id, cost := id.Draw(t, "id"), rapid.Int64Range(1, 3).Draw(t, "cost")
				ttl := 1 + upTo(90*time.Second).Draw(t, "ttl")
				d, err := l.Check(
					limiter.Instant{Mono: now},
					account,
					limiter.Ask{ID: id, Cost: cost, TTL: time.Duration(ttl)},
				)
				got := describe(d, err)
				if d.Verdict == limiter.Allowed {
					got = "allow"
				}
				compare(got, m.check(now, id, cost, ttl))
			},
			"commit": func(t *rapid.T) {
				id := id.Draw(t, "id")
				o, err := l.Commit(limiter.Instant{Mono: now}, account, id, 0)
				compare(outcome(o, err), m.commit(now, id))
			},
			"release": func(t *rapid.T) {
				id := id.Draw(t, "id")
				o, err := l.Release(limiter.Instant{Mono: now}, account, id)
				compare(outcome(o, err), m.release(id))
			},
			"limits": func(*rapid.T) { drawLimits() },
		})
	})
}
