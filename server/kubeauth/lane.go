package kubeauth

import (
	"context"
	"errors"
	"sync/atomic"

	"golang.org/x/sync/semaphore"
)

// errShed says that too many wait already, or that one waited too long.
var errShed = errors.New("too many reviews wait")

// lane bounds how many reviews are in flight. Those who wait for it go in their order. Each holds a
// slot of its own share then, so that none has more places in the queue than its share has slots.
type lane struct{ slots *semaphore.Weighted }

func newLane(slots int64) lane { return lane{semaphore.NewWeighted(slots)} }

// acquire waits for a slot of the share, and then for one of the lane.
func (l lane) acquire(ctx context.Context, s *share) (release func(), _ error) {
	if err := s.acquire(ctx); err != nil {
		return nil, err
	}
	if l.slots.Acquire(ctx, 1) != nil {
		s.slots.Release(1)
		return nil, errShed
	}
	return func() {
		l.slots.Release(1)
		s.slots.Release(1)
	}, nil
}

// share is what one of those who use a lane may have of it.
type share struct {
	slots      *semaphore.Weighted
	waiting    atomic.Int32
	maxWaiting int32
}

func (s *share) init(slots int64, maxWaiting int32) {
	s.slots, s.maxWaiting = semaphore.NewWeighted(slots), maxWaiting
}

// acquire waits for a slot, unless too many wait for one already.
func (s *share) acquire(ctx context.Context) error {
	if s.slots.TryAcquire(1) {
		return nil
	}
	defer s.waiting.Add(-1)
	if s.waiting.Add(1) > s.maxWaiting || s.slots.Acquire(ctx, 1) != nil {
		return errShed
	}
	return nil
}
