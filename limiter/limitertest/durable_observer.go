package limitertest

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sluice-mail/sluice/limiter"
)

// death is a kill of the process while it serves a call.
type death struct {
	call    int  // after how many calls since the one before
	step    int  // of the process, meanwhile
	repeats bool // the caller asks again; else it never hears of its call
}

var deaths = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) death {
	return death{
		call:    rapid.IntRange(0, 12).Draw(t, "after calls"),
		step:    rapid.SampledFrom([]int{0, 0, 1, 2, 3, 5, 8, 40, 200}).Draw(t, "step"),
		repeats: rapid.IntRange(0, 3).Draw(t, "gives up if 0") > 0,
	}
}), 0, 20)

// mortal is the limiter for callers who often find that it was killed.
type mortal struct {
	*process
	t      TB
	deaths []death
	calls  int
}

// call makes a call that may be killed, and then is repeated, or never heard of: then it reports
// false.
func (m *mortal) call(do func()) (heard bool) {
	if len(m.deaths) == 0 || m.calls < m.deaths[0].call {
		m.calls++
		do()
		return true
	}
	death := m.deaths[0]
	m.deaths, m.calls = m.deaths[1:], 0
	m.kill(m.t, death.step, func(func() bool) { do() }, nil)
	if death.repeats {
		do()
	}
	return death.repeats
}

func (m *mortal) Check(
	now limiter.Instant, k limiter.Key, ask limiter.Ask,
) (d limiter.Decision, err error) {
	if !m.call(func() { d, err = m.process.Check(now, k, ask) }) {
		return limiter.Decision{}, limiter.ErrStoreUnavailable
	}
	return d, err
}

func (m *mortal) Commit(
	now limiter.Instant, k limiter.Key, id string, cost int64,
) (o limiter.Outcome, err error) {
	if !m.call(func() { o, err = m.process.Commit(now, k, id, cost) }) {
		return 0, limiter.ErrStoreUnavailable
	}
	return o, err
}

func (m *mortal) Release(
	now limiter.Instant, k limiter.Key, id string,
) (o limiter.Outcome, err error) {
	if !m.call(func() { o, err = m.process.Release(now, k, id) }) {
		return 0, limiter.ErrStoreUnavailable
	}
	return o, err
}

// testObserver plays random plans to a limiter that is killed again and again, and wants the
// provider to be content, also where callers release what they have committed and the commit is
// lost.
func (s durableSuite) testObserver(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := plans.Draw(t, "plan")
		m := &mortal{process: s.start(t), t: t, deaths: deaths.Draw(t, "deaths")}
		if complaint := observe(p, &observer{limiter: m, verbs: m, logf: t.Logf}); complaint != "" {
			t.Fatal(complaint)
		}
	})
}

// testConcurrentCallers kills while many callers run: what was allowed before the kill is there
// after it, with no more than the limit.
func (s durableSuite) testConcurrentCallers(t *testing.T) {
	const callers, limit = 8, 700
	p := s.start(t)
	keys := make([]limiter.Key, 3)
	for i := range keys {
		keys[i] = limiter.Key{Namespace: "n", Name: fmt.Sprint(i)}
		p.Apply(keys[i], "uid", limiter.Policy{Limits: Limits(0, 0, limit)})
	}
	heard := map[limiter.Key][]string{} // the ids of allowed checks
	now := limiter.Instant{Mono: 1}
	for round := range 20 {
		var mu sync.Mutex
		p.kill(t, 5+round*7%40, func(killed func() bool) {
			var wg sync.WaitGroup
			var n atomic.Int64
			for range callers {
				wg.Go(func() {
					for range 20 {
						i := n.Add(1)
						k, id := keys[int(i)%len(keys)], fmt.Sprint(round, "-", i)
						d, err := p.Check(now, k, limiter.Ask{ID: id, Cost: 1, TTL: time.Hour})
						if err != nil || d.Verdict != limiter.Allowed {
							continue
						}
						if i%3 == 0 {
							_, _ = p.Commit(now, k, id, 0)
						}
						if killed() {
							return
						}
						mu.Lock()
						heard[k] = append(heard[k], id)
						mu.Unlock()
					}
				})
			}
			wg.Wait()
		}, nil)
		for _, k := range keys {
			for _, id := range heard[k] {
				if o, err := p.Commit(now, k, id, 0); err != nil || o != limiter.Committed {
					t.Fatalf("round %d: a commit of %s is %s", round, id, outcome(o, err))
				}
			}
			u, err := p.Usage(now, k)
			if err != nil {
				t.Fatal(err)
			}
			used := u.Window(limiter.Cost, limiter.Day).Used + u.InFlight
			if used > limit || used < int64(len(heard[k])) {
				t.Fatalf("round %d: %d count, of which %d were allowed; the limit is %d",
					round, used, len(heard[k]), limit)
			}
		}
	}
	if n := len(heard[keys[0]]); n < 20 {
		t.Errorf("only %d checks were heard of", n)
	}
}
