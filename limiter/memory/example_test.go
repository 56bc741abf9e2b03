package memory_test

import (
	"fmt"
	"time"

	limiter "github.com/sluice-mail/sluice/limiter/memory"
)

func Example() {
	l := limiter.New(limiter.Options{})
	key := limiter.Key{Namespace: "marketing", Name: "newsletter"}
	l.Apply(key, "uid", limiter.Policy{Limits: limiter.Limits{limiter.Minute: 1}})
	l.MarkLoaded()

	at := func(t time.Duration) limiter.Instant { return limiter.Instant{Mono: int64(t)} }
	d, _ := l.Check(at(0), key, limiter.Ask{ID: "mail-1", Cost: 1, TTL: time.Minute})
	fmt.Println(d.Verdict == limiter.Allowed)

	o, _ := l.Commit(at(2*time.Second), key, "mail-1", 0)
	fmt.Println(o == limiter.Committed)

	d, _ = l.Check(at(10*time.Second), key, limiter.Ask{ID: "mail-2", Cost: 1, TTL: time.Minute})
	fmt.Println(d.Verdict == limiter.Deferred, d.RetryAfter)
	// Output:
	// true
	// true
	// true 52s
}
