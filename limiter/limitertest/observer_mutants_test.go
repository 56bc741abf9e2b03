package limitertest

import (
	"testing"

	"github.com/sluice-mail/sluice/limiter"
)

// Limiters that are wrong in one way each, to prove that the observer would notice. They are the
// real one behind a caller that spoils it.

// forgiving breaks G4: it gives a slot back when its reservation expires, a nanosecond before the
// limiter itself would count it as sent.
type forgiving struct {
	*Harness
	deadlines map[string]int64
}

func newForgiving(l *Harness) verbs { return &forgiving{l, map[string]int64{}} }

func (m *forgiving) forgive(now limiter.Instant) {
	for id, deadline := range m.deadlines {
		if deadline <= now.Mono {
			_, _ = m.Harness.Release(
				limiter.Instant{Mono: deadline - 1},
				account,
				id,
			) // it may have ended
			delete(m.deadlines, id)
		}
	}
}

func (m *forgiving) Check(
	now limiter.Instant,
	k limiter.Key,
	ask limiter.Ask,
) (limiter.Decision, error) {
	m.forgive(now)
	d, err := m.Harness.Check(now, k, ask)
	if d.Verdict == limiter.Allowed {
		m.deadlines[ask.ID] = now.Mono + int64(d.ExpiresIn)
	}
	return d, err
}

func (m *forgiving) Commit(
	now limiter.Instant,
	k limiter.Key,
	id string,
	cost int64,
) (limiter.Outcome, error) {
	m.forgive(now)
	return m.Harness.Commit(now, k, id, cost)
}

func (m *forgiving) Release(
	now limiter.Instant,
	k limiter.Key,
	id string,
) (limiter.Outcome, error) {
	m.forgive(now)
	return m.Harness.Release(now, k, id)
}

func (m *forgiving) Sweep(now limiter.Instant) {
	m.forgive(now)
	m.Harness.Sweep(now)
}

// hasty stamps each mail at its check, and takes no notice of the commit.
type hasty struct {
	*Harness
	stamped map[string]bool
}

func newHasty(l *Harness) verbs { return &hasty{l, map[string]bool{}} }

func (m *hasty) Check(
	now limiter.Instant,
	k limiter.Key,
	ask limiter.Ask,
) (limiter.Decision, error) {
	d, err := m.Harness.Check(now, k, ask)
	if d.Verdict == limiter.Allowed {
		m.stamped[ask.ID] = true
		_, err = m.Harness.Commit(now, k, ask.ID, 0)
	}
	return d, err
}

func (m *hasty) Commit(
	now limiter.Instant,
	k limiter.Key,
	id string,
	cost int64,
) (limiter.Outcome, error) {
	if m.stamped[id] {
		return limiter.Committed, nil
	}
	return m.Harness.Commit(now, k, id, cost)
}

// early decides as if it were a nanosecond later.
type early struct{ *Harness }

func (m early) Check(
	now limiter.Instant,
	k limiter.Key,
	ask limiter.Ask,
) (limiter.Decision, error) {
	now.Mono++
	return m.Harness.Check(now, k, ask)
}

// lax lets a release free whatever slot is the oldest, as the predecessor did.
type lax struct{ *Harness }

func (m lax) Release(now limiter.Instant, k limiter.Key, _ string) (limiter.Outcome, error) {
	return m.Harness.Release(now, k, "")
}

// TestTheObserverNotices wants each of the wrong limiters to be found out within a number of runs.
// The seeds are always the same, so this is so or it is not.
func TestTheObserverNotices(t *testing.T) {
	for name, build := range map[string]func(*Harness) verbs{
		"a slot that is given back on expiry":    newForgiving,
		"a stamp that is taken at the check":     newHasty,
		"a slot that is free a nanosecond early": func(l *Harness) verbs { return early{l} },
		"a release that frees another's slot":    func(l *Harness) verbs { return lax{l} },
	} {
		t.Run(name, func(t *testing.T) {
			const runs = 1000
			for seed := range runs {
				quiet := func(string, ...any) {}
				complaint := inMemory.observe(t, plans.Example(seed), build, quiet)
				if complaint != "" {
					t.Logf("run %d: %s", seed, complaint)
					return
				}
			}
			t.Errorf("nothing was noticed in %d runs", runs)
		})
	}
}
