package redis_test

import (
	"context"
	"fmt"
	"time"

	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/redis"
)

func Example() {
	client, err := redis.Connect(redis.Connection{URL: "redis://localhost:6379"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	l := limiter.New(redis.New(client, redis.Options{}))
	key := limiter.Key{Namespace: "marketing", Name: "newsletter"}
	var p limiter.Policy
	p.Limits[limiter.Cost][limiter.Minute] = 30
	if _, err := l.Apply(context.Background(), key, "uid", p); err != nil {
		fmt.Println(err)
		return
	}
	l.MarkLoaded()
	ask := limiter.Ask{ID: "mail-1", Cost: 1, TTL: 2 * time.Minute}
	d, err := l.Check(context.Background(), limiter.Instant{}, key, ask)
	fmt.Println(d.Verdict == limiter.Allowed, err)
}
