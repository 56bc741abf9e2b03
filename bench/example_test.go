package bench_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"time"

	"github.com/sluice-mail/sluice/bench"
	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/memory"
	"github.com/sluice-mail/sluice/server"
)

func Example() {
	l := limiter.New(memory.New(memory.Options{}))
	key := limiter.Key{Namespace: "load", Name: "bench-0001"}
	policy := limiter.Policy{Limits: limiter.Limits{limiter.Cost: {limiter.Day: 3}}}
	if _, err := l.Apply(context.Background(), key, "uid", policy); err != nil {
		panic(err)
	}
	l.MarkLoaded()
	api := httptest.NewServer(server.New(server.Options{Limiter: l}))
	defer api.Close()

	report, err := bench.Run(context.Background(), bench.Config{
		URL: api.URL, Accounts: 1, Connections: 4, Duration: 50 * time.Millisecond, Batch: 1, Commit: 1,
	}, bench.Progress{})
	if err != nil {
		panic(err)
	}
	fmt.Println("allowed:", report.Decisions["Allow"])
	fmt.Println("limits exceeded:", len(report.Limits.Exceeded))
	// Output:
	// allowed: 3
	// limits exceeded: 0
}
