package limiter_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/memory"
)

// batches is a store that makes many calls at once, and notes which.
type batches struct {
	*memory.Store
	verbs []limiter.Verb
	err   error
}

func (s *batches) Do(_ context.Context, _ limiter.Instant, calls []limiter.AccountCall) error {
	for _, c := range calls {
		s.verbs = append(s.verbs, c.Verb)
		if c.Policy.Load() == nil {
			return errors.New("a call has no policy")
		}
		c.Outcome = limiter.Committed
		if c.Usage != nil {
			c.Usage.InFlight = 7
		}
	}
	return s.err
}

var (
	here      = limiter.Key{Namespace: "n", Name: "here"}
	nobody    = limiter.Key{Namespace: "n", Name: "nobody"}
	errBroken = errors.New("broken")
)

// someCalls are good ones and bad ones, with what is wrong with each.
func someCalls(u *limiter.Usage) (calls []limiter.Call, want []error) {
	good := limiter.Ask{ID: "a", Cost: 1, TTL: time.Minute}
	for _, c := range []struct {
		call limiter.Call
		want error
	}{
		{limiter.Call{Key: here, Verb: limiter.ToCheck, Ask: good}, nil},
		{limiter.Call{Key: nobody, Verb: limiter.ToCheck, Ask: good}, limiter.ErrAccountNotFound},
		{limiter.Call{Key: here, Verb: limiter.ToCheck}, limiter.ErrInvalid},
		{limiter.Call{Key: here, Verb: limiter.ToCommit}, nil},
		{
			limiter.Call{Key: here, Verb: limiter.ToCommit, Ask: limiter.Ask{Cost: -1}},
			limiter.ErrInvalid,
		},
		{limiter.Call{Key: here, Verb: limiter.ToRelease, Err: errBroken}, errBroken},
		{limiter.Call{Key: here}, limiter.ErrInvalid},
		{limiter.Call{Key: here, Verb: limiter.ToUsage, Usage: u}, nil},
	} {
		calls, want = append(calls, c.call), append(want, c.want)
	}
	return calls, want
}

func gate(t *testing.T, store limiter.Store) *limiter.Limiter {
	t.Helper()
	l := limiter.New(store)
	l.MarkLoaded()
	if _, err := l.Apply(t.Context(), here, "uid", limiter.Policy{}); err != nil {
		t.Fatal(err)
	}
	return l
}

// TestManyCallsAreValidatedOneByOne wants the same errors whether the store makes many calls at
// once or not, and such a store to get only those that are valid.
func TestManyCallsAreValidatedOneByOne(t *testing.T) {
	t.Parallel()
	store := &batches{Store: memory.New(memory.Options{})}
	for name, l := range map[string]*limiter.Limiter{
		"at once":    gate(t, store),
		"one by one": gate(t, memory.New(memory.Options{})),
	} {
		var u limiter.Usage
		calls, want := someCalls(&u)
		if err := l.Do(t.Context(), limiter.Instant{}, calls); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for i, c := range calls {
			if !errors.Is(c.Err, want[i]) {
				t.Errorf("%s: call %d: %v, want %v", name, i, c.Err, want[i])
			}
		}
		if u.Key != here {
			t.Errorf("%s: the usage is of %v", name, u.Key)
		}
	}
	want := []limiter.Verb{limiter.ToCheck, limiter.ToCommit, limiter.ToUsage}
	if !slices.Equal(store.verbs, want) {
		t.Errorf("the store got %v, want %v", store.verbs, want)
	}
}

// TestManyCallsBeforeAndAfter wants the gate's own errors for each.
func TestManyCallsBeforeAndAfter(t *testing.T) {
	t.Parallel()
	store := &batches{Store: memory.New(memory.Options{})}
	check := limiter.Call{
		Key: here, Verb: limiter.ToCheck, Ask: limiter.Ask{ID: "a", Cost: 1, TTL: time.Minute},
	}
	calls := []limiter.Call{check}
	_ = limiter.New(store).Do(t.Context(), limiter.Instant{}, calls)
	if !errors.Is(calls[0].Err, limiter.ErrNotLoaded) {
		t.Errorf("before the limits are loaded: %v", calls[0].Err)
	}
	l := gate(t, store)
	l.Drain()
	calls = []limiter.Call{check}
	_ = l.Do(t.Context(), limiter.Instant{}, calls)
	if !errors.Is(calls[0].Err, limiter.ErrDraining) {
		t.Errorf("while it drains: %v", calls[0].Err)
	}
	if len(store.verbs) > 0 {
		t.Errorf("the store got %v", store.verbs)
	}
}

// TestNothingIsToldAfterAnError wants the error of a store to be that of the whole, also of a list.
func TestNothingIsToldAfterAnError(t *testing.T) {
	t.Parallel()
	l := gate(t, &batches{Store: memory.New(memory.Options{}), err: errBroken})
	calls := []limiter.Call{{Key: here, Verb: limiter.ToCommit}}
	if err := l.Do(t.Context(), limiter.Instant{}, calls); !errors.Is(err, errBroken) {
		t.Error(err)
	}
	page, _, err := l.List(t.Context(), limiter.Instant{}, "", limiter.Key{}, 10)
	if !errors.Is(err, errBroken) || page != nil {
		t.Error(page, err)
	}
}

// TestListsAreOneCall wants the usages of a page in one call of the store.
func TestListsAreOneCall(t *testing.T) {
	t.Parallel()
	store := &batches{Store: memory.New(memory.Options{})}
	l := gate(t, store)
	page, more, err := l.List(t.Context(), limiter.Instant{}, "", limiter.Key{}, 10)
	if err != nil || more || len(page) != 1 || page[0].Key != here || page[0].InFlight != 7 {
		t.Error(page, more, err)
	}
}
