package redis_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/sluice-mail/sluice/limiter/redis"
)

// TestAcceptLossOnce has many accept the same loss at once, while ten pods go on with it.
func TestAcceptLossOnce(t *testing.T) {
	test := newEpochTest(t)
	var pods []redis.Epochs
	for range 10 {
		e := test.replica()
		for n := range 20 {
			test.of(e, fmt.Sprint("n", n))
		}
		pods = append(pods, e)
	}
	lost := test.keeper.has()
	test.empty()
	for _, e := range pods {
		test.wantLost(e, redis.LostError{Kept: lost})
	}
	var wg sync.WaitGroup
	for _, e := range pods {
		wg.Go(func() {
			if err := redis.AcceptLoss(ctx, test.client, test.prefix, lost); err != nil {
				t.Error("accept:", err)
			}
			if err := e.Settle(ctx, test.client); err != nil {
				t.Error("settle:", err)
			}
			for n := range 20 {
				if _, err := e.Of(ctx, test.client, fmt.Sprint("n", n)); err != nil {
					t.Error("of:", err)
				}
			}
		})
	}
	wg.Wait()
	epoch := test.of(pods[0], "n0")
	test.accept(lost)
	for _, e := range append(pods, test.replica()) {
		test.wantSettled(e)
		for n := range 20 {
			if got := test.of(e, fmt.Sprint("n", n)); got != epoch || got == lost {
				t.Errorf("the epoch is %q, want %q", got, epoch)
			}
		}
	}
	if test.keeper.has() != epoch {
		t.Errorf("%q is kept, want %q", test.keeper.has(), epoch)
	}
}

// TestAnotherEpochIsNoLoss has the epoch change all the time under pods that look for it. What they
// see of that is never taken for a loss.
func TestAnotherEpochIsNoLoss(t *testing.T) {
	test := newEpochTest(t)
	first := test.replica()
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 8 {
		e, c := test.replica(), newClient(t)
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if err := e.Settle(ctx, c); err != nil {
					t.Error("settle:", err)
					return
				}
				for n := range 3 {
					_, err := e.Of(ctx, c, fmt.Sprint("n", n))
					if lost := (*redis.LostError)(nil); errors.As(err, &lost) {
						t.Error("of:", err)
						return
					}
				}
			}
		})
	}
	for range 200 {
		epoch, err := command(t, "HGET", redis.EpochsKey(test.prefix), "id").ToString()
		if err != nil {
			t.Fatal(err)
		}
		command(t, "HSET", redis.EpochsKey(test.prefix), "lost:"+epoch, "1")
		test.accept(epoch)
	}
	close(done)
	wg.Wait()
	test.wantSettled(first)
	for n := range 3 {
		test.of(first, fmt.Sprint("n", n))
	}
}

// TestWrongLossIsNotAccepted names epochs that nobody misses.
func TestWrongLossIsNotAccepted(t *testing.T) {
	test := newEpochTest(t)
	e := test.replica()
	epoch := test.of(e, "marketing")
	refused := func(which, because string) {
		t.Helper()
		err := redis.AcceptLoss(ctx, test.client, test.prefix, which)
		if err == nil || !strings.Contains(err.Error(), because) {
			t.Errorf("accept-loss %s: %v, want %q", which, err, because)
		}
	}
	refused("", "which epoch")
	refused("wrong", "the store's is "+epoch)
	refused(epoch, "the store's is "+epoch) // it is there
	test.empty()
	test.wantLost(e, redis.LostError{Kept: epoch})
	refused("wrong", "the epoch that was lost is "+epoch)
	test.wantLost(e, redis.LostError{Kept: epoch})
	test.accept(epoch)
	test.wantSettled(e)
	refused("wrong", "the store's is "+test.keeper.has())
	test.accept(epoch)

	// In an empty store that no replica has seen nothing speaks against it, but it helps nobody.
	epoch = test.of(e, "marketing")
	test.empty()
	test.accept("wrong")
	if err := e.Settle(ctx, test.client); !isLost(err, epoch) {
		t.Errorf("after the acceptance of another loss: %v", err)
	}
	test.accept(epoch)
	test.wantSettled(e)
}
