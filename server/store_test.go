package server_test

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/memory"
)

// durable is a store that has each call wait for something durable, and counts that.
type durable struct {
	*memory.Store
	waits atomic.Int32
	err   error
}

func (d *durable) Open(key limiter.Key, uid string) limiter.Account {
	return &durableAccount{d.Store.Open(key, uid), d}
}

func (d *durable) wait() error { d.waits.Add(1); return d.err }

// Do waits once for all calls.
func (d *durable) Do(ctx context.Context, now limiter.Instant, calls []limiter.AccountCall) error {
	for _, c := range calls {
		a := c.Account.(*durableAccount).Account
		switch c.Verb {
		case limiter.ToCheck:
			c.Decision, c.Err = a.Check(ctx, now, c.Policy, c.Ask)
		case limiter.ToCommit:
			c.Outcome, c.Err = a.Commit(ctx, now, c.Ask.ID, c.Ask.Cost)
		default:
			panic("no such batch is made")
		}
	}
	return d.wait()
}

type durableAccount struct {
	limiter.Account
	store *durable
}

func (a *durableAccount) Check(
	ctx context.Context, now limiter.Instant, p *limiter.CurrentPolicy, ask limiter.Ask,
) (limiter.Decision, error) {
	d, err := a.Account.Check(ctx, now, p, ask)
	if err == nil {
		err = a.store.wait()
	}
	return d, err
}

func (a *durableAccount) Commit(
	ctx context.Context, now limiter.Instant, id string, cost int64,
) (limiter.Outcome, error) {
	o, err := a.Account.Commit(ctx, now, id, cost)
	if err == nil {
		err = a.store.wait()
	}
	return o, err
}

// TestBatchesWaitForTheStoreOnce wants one wait for a batch, and one for each single call.
func TestBatchesWaitForTheStoreOnce(t *testing.T) {
	t.Parallel()
	store := &durable{Store: memory.New(memory.Options{})}
	a := newBubble(t, limiter.Policy{}, setup{store: store})
	for path, body := range durableCalls(50) {
		store.waits.Store(0)
		if r := a.call(request{body: body}.to(path)); r.status != http.StatusOK {
			t.Errorf("%s: %d %s", path, r.status, r.body)
		}
		if n := store.waits.Load(); n != 1 {
			t.Errorf("%s waited %d times, want once", path, n)
		}
	}
}

// TestNothingIsToldThatIsNotDurable wants 503 from calls whose wait fails, without any result.
func TestNothingIsToldThatIsNotDurable(t *testing.T) {
	t.Parallel()
	store := &durable{Store: memory.New(memory.Options{}), err: limiter.ErrStoreUnavailable}
	a := newBubble(t, limiter.Policy{}, setup{store: store})
	for path, body := range durableCalls(3) {
		r := a.call(request{body: body}.to(path))
		if r.status != http.StatusServiceUnavailable || r.header.Get("Retry-After") != "1" ||
			!strings.Contains(r.body, "/problems/store-unavailable") ||
			strings.Contains(r.body, "results") {
			t.Errorf("%s answered %d %s", path, r.status, r.body)
		}
	}
}

// durableCalls are calls that change something, with batches of n.
func durableCalls(n int) map[string]string {
	item := `{"namespace": "marketing", "name": "newsletter"},`
	items := strings.TrimSuffix(strings.Repeat(item, n), ",")
	return map[string]string{
		"/v1/accounts/marketing/newsletter/check":  `{}`,
		"/v1/accounts/marketing/newsletter/commit": `{}`,
		"/v1/check":  `{"checks": [` + items + `]}`,
		"/v1/commit": `{"commits": [` + items + `]}`,
	}
}
