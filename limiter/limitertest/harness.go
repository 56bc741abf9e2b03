package limitertest

import (
	"context"

	"github.com/sluice-mail/sluice/limiter"
)

// Harness is a loaded limiter over a store under test. Its methods are those of the limiter without
// a context. What fails other than a decision does fails the test.
type Harness struct {
	*limiter.Limiter
	store limiter.Store
	t     TB
}

// maintainer is a store that does in the background what each call does for its own account. No
// answer depends on it; the suite calls it in between to see that.
type maintainer interface {
	Sweep(now limiter.Instant)
	Expire(now limiter.Instant)
}

// New returns a loaded limiter over a store.
func New(t TB, store limiter.Store) *Harness {
	l := limiter.New(store)
	l.MarkLoaded()
	return &Harness{l, store, t}
}

// unloaded returns a harness whose limiter is not loaded.
func (s suite) unloaded(t TB) *Harness {
	store := s.newStore(t, Options{})
	return &Harness{limiter.New(store), store, t}
}

func (s suite) open(t TB, o Options) *Harness {
	t.Helper()
	return New(t, s.newStore(t, o))
}

// Apply is [limiter.Limiter.Apply].
func (h *Harness) Apply(k limiter.Key, uid string, p limiter.Policy) (changed bool) {
	h.t.Helper()
	return Apply(h.t, h.Limiter, k, uid, p)
}

// Purge is [limiter.Limiter.Purge].
func (h *Harness) Purge(k limiter.Key) (entries int) {
	h.t.Helper()
	return Purge(h.t, h.Limiter, k)
}

// PurgeUnlessUID is [limiter.Limiter.PurgeUnlessUID].
func (h *Harness) PurgeUnlessUID(k limiter.Key, uid string) (entries int) {
	h.t.Helper()
	entries, err := h.Limiter.PurgeUnlessUID(context.Background(), k, uid)
	if err != nil {
		h.t.Fatal(err)
	}
	return entries
}

// Check is [limiter.Limiter.Check].
func (h *Harness) Check(
	now limiter.Instant, k limiter.Key, ask limiter.Ask,
) (limiter.Decision, error) {
	return h.Limiter.Check(context.Background(), now, k, ask)
}

// Commit is [limiter.Limiter.Commit].
func (h *Harness) Commit(
	now limiter.Instant, k limiter.Key, id string, cost int64,
) (limiter.Outcome, error) {
	return h.Limiter.Commit(context.Background(), now, k, id, cost)
}

// Release is [limiter.Limiter.Release].
func (h *Harness) Release(now limiter.Instant, k limiter.Key, id string) (limiter.Outcome, error) {
	return h.Limiter.Release(context.Background(), now, k, id)
}

// Usage is [limiter.Limiter.Usage].
func (h *Harness) Usage(now limiter.Instant, k limiter.Key) (limiter.Usage, error) {
	return h.Limiter.Usage(context.Background(), now, k)
}

// List is [limiter.Limiter.List].
func (h *Harness) List(
	now limiter.Instant, namespace string, after limiter.Key, limit int,
) (page []limiter.Usage, more bool, err error) {
	return h.Limiter.List(context.Background(), now, namespace, after, limit)
}

// Sweep has the store do its work in the background for all accounts, if it has any.
func (h *Harness) Sweep(now limiter.Instant) {
	if m, ok := h.store.(maintainer); ok {
		m.Sweep(now)
	}
}

// Expire has the store expire what fell due, if it does that in the background.
func (h *Harness) Expire(now limiter.Instant) {
	if m, ok := h.store.(maintainer); ok {
		m.Expire(now)
	}
}

// Apply is [limiter.Limiter.Apply]. It fails the test where that fails.
func Apply(t TB, l *limiter.Limiter, k limiter.Key, uid string, p limiter.Policy) (changed bool) {
	t.Helper()
	changed, err := l.Apply(context.Background(), k, uid, p)
	if err != nil {
		t.Fatal(err)
	}
	return changed
}

// Purge is [limiter.Limiter.Purge]. It fails the test where that fails.
func Purge(t TB, l *limiter.Limiter, k limiter.Key) (entries int) {
	t.Helper()
	entries, err := l.Purge(context.Background(), k)
	if err != nil {
		t.Fatal(err)
	}
	return entries
}
