package limiter_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/memory"
)

// away is a store in memory whose purges fail while it is away.
type away struct {
	*memory.Store
	err error
}

func (s *away) Open(k limiter.Key, uid string) limiter.Account {
	return awayAccount{s.Store.Open(k, uid), s}
}

type awayAccount struct {
	limiter.Account
	store *away
}

func (a awayAccount) Purge(ctx context.Context) (int, error) {
	if a.store.err != nil {
		return 0, a.store.err
	}
	return a.Account.Purge(ctx)
}

// TestPurgeWhileTheStoreIsAway wants a deleted account to answer nothing, and its purge to be asked
// for again, until the store has forgotten it.
func TestPurgeWhileTheStoreIsAway(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	k, now := limiter.Key{Namespace: "marketing", Name: "newsletter"}, limiter.Instant{Mono: 1}
	for name, purge := range map[string]func(*limiter.Limiter) error{
		"Purge": func(l *limiter.Limiter) error { _, err := l.Purge(ctx, k); return err },
		"PurgeUnlessUID": func(l *limiter.Limiter) error {
			_, err := l.PurgeUnlessUID(ctx, k, "another")
			return err
		},
		"Apply with another uid": func(l *limiter.Limiter) error {
			_, err := l.Apply(ctx, k, "another", limiter.Policy{})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := &away{Store: memory.New(memory.Options{})}
			l := limiter.New(store)
			l.MarkLoaded()
			if _, err := l.Apply(ctx, k, "uid", limiter.Policy{}); err != nil {
				t.Fatal(err)
			}
			ask := limiter.Ask{ID: "a", Cost: 1, TTL: time.Minute}
			if _, err := l.Check(ctx, now, k, ask); err != nil {
				t.Fatal(err)
			}
			store.err = errors.New("the store is away")
			if err := purge(l); !errors.Is(err, store.err) {
				t.Errorf("the purge returned %v, want %v", err, store.err)
			}
			for name, call := range map[string]func() error{
				"a check":   func() error { _, err := l.Check(ctx, now, k, ask); return err },
				"a commit":  func() error { _, err := l.Commit(ctx, now, k, "a", 0); return err },
				"a release": func() error { _, err := l.Release(ctx, now, k, "a"); return err },
				"a usage":   func() error { _, err := l.Usage(ctx, now, k); return err },
			} {
				if err := call(); !errors.Is(err, limiter.ErrAccountNotFound) {
					t.Errorf("%s while the purge is due: %v", name, err)
				}
			}
			if page, _, err := l.List(ctx, now, "", limiter.Key{}, 10); err != nil || len(page) > 0 {
				t.Errorf("it is listed while its purge is due: %v, %v", page, err)
			}
			if _, found := l.PolicyInForce(k, "uid"); found {
				t.Error("its policy is in force while its purge is due")
			}
			if _, err := l.Apply(ctx, k, "uid", limiter.Policy{}); !errors.Is(err, store.err) {
				t.Errorf("it was created again before it was purged: %v", err)
			}
			store.err = nil
			if err := purge(l); err != nil || l.Stats().Reservations != 0 {
				t.Errorf("once the store is back: %v, %d reservations", err, l.Stats().Reservations)
			}
		})
	}
}

// TestApplyKeepsTheGeneration wants a policy to be no change if only its generation is new.
func TestApplyKeepsTheGeneration(t *testing.T) {
	t.Parallel()
	l, k := limiter.New(memory.New(memory.Options{})), limiter.Key{Name: "a"}
	two := limiter.Limits{limiter.Cost: {limiter.Minute: 2}}
	for n, step := range []struct {
		policy  limiter.Policy
		changed bool
	}{
		{limiter.Policy{Limits: two, Generation: 1}, true},
		{limiter.Policy{Limits: two, Generation: 1}, false},
		{limiter.Policy{Limits: two, Generation: 2}, false},
		{limiter.Policy{Suspended: true, Limits: two, Generation: 3}, true},
		{limiter.Policy{Suspended: true, Generation: 3}, true},
	} {
		changed, err := l.Apply(t.Context(), k, "uid", step.policy)
		if changed != step.changed || err != nil {
			t.Errorf("step %d: it changed: %v, %v", n, changed, err)
		}
		if got, _ := l.PolicyInForce(k, "uid"); got != step.policy {
			t.Errorf("step %d: %+v is in force", n, got)
		}
	}
}

// TestListOfAStoreThatIsAway wants a page without an account to be an error, not a shorter page.
func TestListOfAStoreThatIsAway(t *testing.T) {
	t.Parallel()
	l := limiter.New(mute{})
	l.MarkLoaded()
	if _, err := l.Apply(t.Context(), limiter.Key{Name: "a"}, "uid", limiter.Policy{}); err != nil {
		t.Fatal(err)
	}
	page, _, err := l.List(t.Context(), limiter.Instant{}, "", limiter.Key{}, 10)
	if !errors.Is(err, errMute) || page != nil {
		t.Errorf("listed %v, %v", page, err)
	}
}

// mute is a store that answers no usage.
type mute struct{ limiter.Account }

var errMute = errors.New("no answer")

func (m mute) Open(limiter.Key, string) limiter.Account { return m }

func (mute) Loaded() {}

func (mute) Reservations() int { return 0 }

func (mute) Usage(
	context.Context, limiter.Instant, *limiter.CurrentPolicy,
) (limiter.Usage, error) {
	return limiter.Usage{}, errMute
}
