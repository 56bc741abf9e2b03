package redis_test

import (
	"context"
	"fmt"
	"time"

	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/redis"
)

func Example() {
	store, err := redis.Open(redis.Options{
		Connection: redis.Connection{URL: "redis://localhost:6379"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { _ = store.Run(ctx) }() // its error says what to change about the server
	l := limiter.New(store)
	key := limiter.Key{Namespace: "marketing", Name: "newsletter"}
	var p limiter.Policy
	p.Limits[limiter.Cost][limiter.Minute] = 30
	if _, err := l.Apply(ctx, key, "uid", p); err != nil {
		fmt.Println(err)
		return
	}
	l.MarkLoaded()
	ask := limiter.Ask{ID: "mail-1", Cost: 1, TTL: 2 * time.Minute}
	d, err := l.Check(ctx, limiter.Instant{}, key, ask)
	fmt.Println(d.Verdict == limiter.Allowed, err)
}
