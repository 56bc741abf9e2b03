package faults

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/redis/redistest"
)

// TestReplicasShareOneLimit has two and three replicas asked 1,000 times at once: exactly the limit
// is allowed.
func TestReplicasShareOneLimit(t *testing.T) {
	t.Parallel()
	s := redistest.New(t, redistest.Options{})
	for n := 2; n <= 3; n++ {
		t.Run(fmt.Sprint(n, " replicas"), func(t *testing.T) {
			const limit = 321
			o := options(s.URL())
			o.Prefix, o.Timeout = fmt.Sprint("of-", n), patience
			var all []*replica
			for range n {
				all = append(all, ready(t, o, limiter.Limits{limiter.Cost: {limiter.Day: limit}}))
			}
			var allowed, answered atomic.Int64
			var callers sync.WaitGroup
			for i := range 1000 {
				callers.Go(func() {
					for range tries { // a busy machine may need more than one
						r := all[i%n]
						d, err := r.Check(t.Context(), clock.Now(), account, ask(fmt.Sprint(i)))
						if err != nil {
							time.Sleep(again)
							continue
						}
						answered.Add(1)
						if d.Verdict == limiter.Allowed {
							allowed.Add(1)
						}
						return
					}
				})
			}
			callers.Wait()
			if n := allowed.Load(); n != limit || answered.Load() != 1000 {
				t.Errorf("%d of %d were allowed, the limit is %d", n, answered.Load(), limit)
			}
		})
	}
}
