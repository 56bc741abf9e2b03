package memory

import (
	"testing"
	"time"

	"github.com/sluice-mail/sluice/limiter"
)

// TestPolicyIsLoadedInsideTheStep lowers a limit while a check waits for its account: the check is
// decided by what is in force when its turn comes. Otherwise it could be allowed by a limit that
// others have seen lowered; see docs/design/0018-the-seam.md.
func TestPolicyIsLoadedInsideTheStep(t *testing.T) {
	t.Parallel()
	s := New(Options{})
	a := s.Open(limiter.Key{Name: "a"}, "uid").(*Account)
	var policy limiter.CurrentPolicy
	limit := func(n int64) {
		policy.Store(&limiter.Policy{Limits: limiter.Limits{limiter.Cost: {limiter.Minute: n}}})
	}
	limit(2)
	now := limiter.Instant{Mono: 1}
	if _, err := a.Commit(t.Context(), now, "", 1); err != nil {
		t.Fatal(err)
	}
	a.mu.Lock()
	decided := make(chan limiter.Verdict)
	go func() {
		ask := limiter.Ask{ID: "a", Cost: 1, TTL: time.Minute}
		d, err := a.Check(t.Context(), now, &policy, ask)
		if err != nil {
			t.Error(err)
		}
		decided <- d.Verdict
	}()
	time.Sleep(
		20 * time.Millisecond,
	) // most likely it waits by then; if not, it is right all the same
	limit(1)
	a.mu.Unlock()
	if got := <-decided; got != limiter.Deferred {
		t.Errorf(
			"the verdict is %d, want %d: it was decided by a limit of before",
			got,
			limiter.Deferred,
		)
	}
}
