package limiter_test

import (
	"context"
	"fmt"
	"time"

	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/memory"
)

func Example() {
	ctx := context.Background()
	l := limiter.New(memory.New(memory.Options{}))
	key := limiter.Key{Namespace: "marketing", Name: "newsletter"}
	_, err := l.Apply(ctx, key, "uid", limiter.Policy{
		Limits: limiter.Limits{limiter.Cost: {limiter.Minute: 1}},
	})
	if err != nil {
		fmt.Println(err)
	}
	l.MarkLoaded()

	at := func(t time.Duration) limiter.Instant { return limiter.Instant{Mono: int64(t)} }
	d, _ := l.Check(ctx, at(0), key, limiter.Ask{ID: "mail-1", Cost: 1, TTL: time.Minute})
	fmt.Println(d.Verdict == limiter.Allowed)

	o, _ := l.Commit(ctx, at(2*time.Second), key, "mail-1", 0)
	fmt.Println(o == limiter.Committed)

	d, _ = l.Check(
		ctx,
		at(10*time.Second),
		key,
		limiter.Ask{ID: "mail-2", Cost: 1, TTL: time.Minute},
	)
	fmt.Println(d.Verdict == limiter.Deferred, d.RetryAfter)
	// Output:
	// true
	// true
	// true 52s
}
