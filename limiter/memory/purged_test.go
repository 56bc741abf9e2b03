package memory

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/sluice-mail/sluice/limiter"
)

// TestPurgedWhileHeld has callers that found the account just before it was purged, and lock it
// just after.
func TestPurgedWhileHeld(t *testing.T) {
	t.Parallel()
	s := New(Options{})
	key, now, ctx := limiter.Key{Name: "purged"}, limiter.Instant{Mono: 1}, context.Background()
	var policy limiter.CurrentPolicy
	policy.Store(&limiter.Policy{})
	a := s.Open(key, "uid")
	ask := limiter.Ask{ID: "a", Cost: 1, TTL: time.Second}
	if _, err := a.Check(ctx, now, &policy, ask); err != nil {
		t.Fatal(err)
	}
	if entries, err := a.Purge(ctx); err != nil || entries != 1 {
		t.Errorf("%d entries were purged, %v, want 1", entries, err)
	}
	for name, call := range map[string]func() error{
		"a check":   func() error { _, err := a.Check(ctx, now, &policy, ask); return err },
		"a commit":  func() error { _, err := a.Commit(ctx, now, "", 1); return err },
		"a release": func() error { _, err := a.Release(ctx, now, ""); return err },
		"a usage":   func() error { _, err := a.Usage(ctx, now, &policy); return err },
	} {
		if err := call(); !errors.Is(err, limiter.ErrAccountNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if entries, err := a.Purge(ctx); err != nil || entries != 0 {
		t.Errorf("purged again: %d entries, %v", entries, err)
	}
	if n := s.Reservations(); n != 0 || len(s.accounts) != 0 {
		t.Errorf("%d reservations and %d accounts are left", n, len(s.accounts))
	}
}
