package kubeauth

import (
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"golang.org/x/time/rate"
)

// limiters are rates, one for each ServiceAccount that was seen lately.
type limiters struct {
	limit rate.Limit
	burst int

	mu     sync.Mutex
	byName *simplelru.LRU[string, *rate.Limiter]
}

func newLimiters(perSecond rate.Limit, burst int) *limiters {
	return &limiters{
		limit: perSecond, burst: burst,
		byName: newLRU[string, *rate.Limiter](maxSubjects, nil),
	}
}

// allows reports whether a ServiceAccount may have one more now.
func (l *limiters) allows(serviceAccount string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	limiter, ok := l.byName.Get(serviceAccount)
	if !ok {
		limiter = rate.NewLimiter(l.limit, l.burst)
		l.byName.Add(serviceAccount, limiter)
	}
	return limiter.AllowN(now, 1)
}
