package sluice_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"

	"github.com/sluice-mail/sluice/api/httpv1"
	"github.com/sluice-mail/sluice/client/sluice"
	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/memory"
	"github.com/sluice-mail/sluice/server"
)

func Example() {
	l := limiter.New(memory.New(memory.Options{}))
	newsletter := limiter.Key{Namespace: "marketing", Name: "newsletter"}
	policy := limiter.Policy{Limits: limiter.Limits{limiter.Cost: {limiter.Minute: 1}}}
	if _, err := l.Apply(context.Background(), newsletter, "uid", policy); err != nil {
		panic(err)
	}
	l.MarkLoaded()
	api := httptest.NewServer(server.New(server.Options{Limiter: l}))
	defer api.Close()

	ctx := context.Background()
	client, err := sluice.New(api.URL, sluice.Options{})
	if err != nil {
		panic(err)
	}
	account := httpv1.Account{Namespace: "marketing", Name: "newsletter"}
	for _, id := range []string{"<4711@example.com>", "<4712@example.com>"} {
		decision, err := client.Check(ctx, account, httpv1.CheckRequest{ID: &id})
		if err != nil {
			panic(err) // no decision: do not send
		}
		fmt.Println(decision.Decision)
		if decision.Decision != httpv1.Allow {
			continue // ask again at decision.DeferredUntil
		}
		// Send the mail here.
		result, err := client.Commit(ctx, account, httpv1.CommitRequest{Reservation: &id})
		if err != nil {
			panic(err)
		}
		fmt.Println(result.Outcome)
	}
	_, err = client.Usage(ctx, httpv1.Account{Namespace: "marketing", Name: "newsletters"})
	fmt.Println(errors.Is(err, sluice.ErrAccountNotFound))
	// Output:
	// Allow
	// Committed
	// Defer
	// true
}
