package kubeauth

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
)

// breaker knows whether one kind of review works. After a failure it lets one call through each
// second, until one succeeds.
type breaker struct {
	kind  string
	clock func() time.Time
	log   logr.Logger
	late  atomic.Int32 // calls that have been in flight for longer than lateAfter

	mu     sync.Mutex
	down   bool
	probe  time.Time // while down: when the next call may be made
	told   bool      // while down: that the log says so
	lastly time.Time // when the log said so
	good   time.Time // when the last call ended that succeeded
}

// blocks reports whether a call would not be made.
func (b *breaker) blocks() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.down && b.clock().Before(b.probe)
}

// answers reports whether there is no sign that calls fail or take long.
func (b *breaker) answers() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.down && b.late.Load() == 0
}

// everAnswered reports whether a call has ever succeeded.
func (b *breaker) everAnswered() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.good.IsZero()
}

// claim reports whether the one who asks may make a call.
func (b *breaker) claim() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.down {
		return true
	}
	now := b.clock()
	if now.Before(b.probe) {
		return false
	}
	b.probe = now.Add(probeEvery)
	return true
}

// ended says how a call ended that began at some time: with an answer, or with an error that is
// none. It ignores a failure if another call has succeeded since.
func (b *breaker) ended(began time.Time, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.clock()
	switch {
	case err == nil:
		b.good = now
		if b.down && b.told {
			b.log.Info("the API server answers again", "kind", b.kind)
		}
		b.down = false
	case !b.down && !began.Before(b.good):
		b.down, b.probe = true, now.Add(probeEvery)
		if b.told = b.lastly.IsZero() || now.Sub(b.lastly) >= logDownEach; b.told {
			b.lastly = now
			b.log.Error(err, "the API server gives no answer; what it said before is used on",
				"kind", b.kind, "upTo", staleFor.String())
		}
	}
}
