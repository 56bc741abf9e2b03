package limiter_test

import (
	"context"
	"errors"
	"testing"

	"github.com/sluice-mail/sluice/limiter"
)

// slow is a store that makes nothing durable.
type slow struct{ positions []uint64 }

var errSlow = errors.New("slow")

func (s *slow) Wait(_ context.Context, position uint64) error {
	s.positions = append(s.positions, position)
	return errSlow
}

// TestABatchWaitsOnce wants a batch to wait for the last of all positions, and for nothing if none
// of its calls had to.
func TestABatchWaitsOnce(t *testing.T) {
	t.Parallel()
	var b limiter.Batch
	ctx := b.Context(t.Context())
	if err := b.Wait(ctx); err != nil {
		t.Errorf("a batch without calls waits: %v", err)
	}
	store := &slow{}
	for _, position := range []uint64{3, 9, 4} {
		limiter.BatchOf(ctx).Defer(store, position)
	}
	if err := b.Wait(ctx); !errors.Is(err, errSlow) {
		t.Errorf("it did not return the error of the store: %v", err)
	}
	if len(store.positions) != 1 || store.positions[0] != 9 {
		t.Errorf("it waited for %v, want 9", store.positions)
	}
	if limiter.BatchOf(t.Context()) != nil {
		t.Error("there is a batch where there is none")
	}
}
