package memory

import (
	"testing"
	"time"

	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/limitertest"
)

// TestEarliestSlotOfAFullHistory denies a check when the history is full to its last stamp:
// committing what is outstanding must not merge the stamp that the check was told to wait for.
func TestEarliestSlotOfAFullHistory(t *testing.T) {
	t.Parallel()
	s := New(Options{})
	l := limitertest.New(t, s)
	k, now := limiter.Key{Name: "full"}, limiter.Instant{}
	l.Apply(k, "uid", limiter.Policy{})
	for range maxStamps {
		now.Mono += int64(100 * time.Microsecond)
		if _, err := l.Commit(now, k, "", 1); err != nil {
			t.Fatal(err)
		}
	}
	if n := s.accounts[0].sent.n; n != maxStamps {
		t.Fatalf("the history holds %d stamps, want all %d", n, maxStamps)
	}
	now.Mono++
	ask := limiter.Ask{ID: "a", Cost: 1, TTL: time.Minute}
	if d, err := l.Check(now, k, ask); d.Verdict != limiter.Allowed {
		t.Fatal(d, err)
	}
	const limit = maxStamps - 10_000
	l.Apply(k, "uid", limiter.Policy{Limits: limitertest.Limits(limit, 0, 0)})
	ask.ID = "b"
	denial, err := l.Check(now, k, ask)
	if denial.Verdict != limiter.Deferred {
		t.Fatal(denial, err)
	}
	if _, err := l.Commit(now, k, "a", 0); err != nil {
		t.Fatal(err)
	}
	now.Mono += int64(denial.RetryAfter)
	if d, err := l.Check(now, k, ask); d.Verdict != limiter.Allowed {
		t.Errorf("at the told instant: %+v, %v", d, err)
	}
}
