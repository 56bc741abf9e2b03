package server_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/memory"
)

// curious is a store that remembers what it was asked.
type curious struct {
	*memory.Store
	mu   sync.Mutex
	asks []limiter.Ask
}

func (c *curious) Open(key limiter.Key, uid string) limiter.Account {
	return curiousAccount{c.Store.Open(key, uid), c}
}

type curiousAccount struct {
	limiter.Account
	store *curious
}

func (a curiousAccount) Check(
	ctx context.Context, now limiter.Instant, p *limiter.CurrentPolicy, ask limiter.Ask,
) (limiter.Decision, error) {
	a.store.mu.Lock()
	a.store.asks = append(a.store.asks, ask)
	a.store.mu.Unlock()
	return a.Account.Check(ctx, now, p, ask)
}

// TestTheStoreIsToldOfNewIDs wants a store to know which ids nobody can have used before: those
// that callers choose may have been.
func TestTheStoreIsToldOfNewIDs(t *testing.T) {
	t.Parallel()
	store := &curious{Store: memory.New(memory.Options{})}
	a := newBubble(t, limiter.Policy{}, setup{store: store})
	account := `"namespace":"marketing","name":"newsletter"`
	for _, c := range []request{
		request{body: `{"id":"a"}`}.to("/v1/accounts/marketing/newsletter/check"),
		request{body: `{}`}.to("/v1/accounts/marketing/newsletter/check"),
		request{body: `{"checks":[{` + account + `},{` + account + `,"id":"b"}]}`}.to("/v1/check"),
	} {
		if r := a.call(c); r.status != 200 || strings.Contains(r.body, "problems") {
			t.Fatalf("%d %s", r.status, r.body)
		}
	}
	var chosen []string
	for _, ask := range store.asks {
		if !ask.New {
			chosen = append(chosen, ask.ID)
		}
	}
	if got := strings.Join(chosen, " "); got != "a b" || len(store.asks) != 4 {
		t.Errorf("of %+v the store takes %q for the callers' own", store.asks, got)
	}
}
