package bench_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"time"

	"github.com/sluice-mail/sluice/bench"
	limiter "github.com/sluice-mail/sluice/limiter/memory"
	"github.com/sluice-mail/sluice/server"
)

func Example() {
	l := limiter.New(limiter.Options{})
	l.Apply(limiter.Key{Namespace: "load", Name: "bench-0001"}, "uid",
		limiter.Policy{Limits: limiter.Limits{limiter.Day: 3}})
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
