package redis_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/sluice-mail/sluice/limiter/redis"
)

// TestEpochOfAFreshStore has a first pod make an epoch, and others adopt it.
func TestEpochOfAFreshStore(t *testing.T) {
	test := newEpochTest(t)
	unsettled := redis.NewEpochs(test.prefix, test.keeper)
	if _, err := unsettled.Of(ctx, test.client, "marketing"); err == nil {
		t.Error("a namespace has an epoch before the store has one")
	}
	first := test.replica()
	epoch := test.of(first, "marketing")
	if len(epoch) != 32 || test.keeper.has() != epoch {
		t.Errorf("the epoch is %q, %q is kept", epoch, test.keeper.has())
	}
	second := test.replica()
	for _, namespace := range []string{"marketing", "sluice", "epochs"} {
		if got := test.of(second, namespace); got != epoch {
			t.Errorf("%s: another replica has the epoch %q, want %q", namespace, got, epoch)
		}
	}
	for _, key := range commandKeys(t, test.prefix+":*") {
		if left, err := command(t, "TTL", key).AsInt64(); left != -1 || err != nil {
			t.Errorf("%s expires in %d s, %v", key, left, err)
		}
	}
}

// TestSettleIsOneRoundTrip counts what the server and the keeper are asked when nothing changes.
func TestSettleIsOneRoundTrip(t *testing.T) {
	test := newEpochTest(t)
	e := test.replica()
	test.of(e, "marketing")
	e.Suspect("marketing") // until the next time
	test.wantSettled(e)
	loads := test.keeper.loads
	const pattern = `total_commands_processed:(\d+)`
	before := serverCount(t, pattern) // which is a command itself
	for range 10 {
		test.wantSettled(e)
		if _, err := e.Of(ctx, test.client, "marketing"); err != nil {
			t.Fatal(err)
		}
	}
	if n := serverCount(t, pattern) - before - 1; n != 10 || test.keeper.loads != loads {
		t.Errorf("it made %d commands and %d loads", n, test.keeper.loads-loads)
	}
	before = serverCount(t, pattern)
	e.Forget()
	test.wantSettled(e)
	if n := serverCount(t, pattern) - before - 1; n != 1 {
		t.Errorf("with a suspect that was forgiven it made %d commands", n)
	}
}

// TestEmptiedStoreIsNoticed empties the store under a running replica, and has a fresh one come.
func TestEmptiedStoreIsNoticed(t *testing.T) {
	test := newEpochTest(t)
	running := test.replica()
	epoch := test.of(running, "marketing")
	test.empty()
	fresh := redis.NewEpochs(test.prefix, test.keeper)
	for range 2 {
		test.wantLost(running, redis.LostError{Kept: epoch})
		test.wantLost(fresh, redis.LostError{Kept: epoch})
	}
	if test.keeper.has() != epoch {
		t.Errorf("%q is kept", test.keeper.has())
	}
	// Before settle looks, a namespace that was not used yet is not let in either.
	later := newEpochTest(t)
	e := later.replica()
	later.empty()
	if _, err := e.Of(ctx, later.client, "marketing"); err == nil {
		t.Error("a namespace is let into an emptied store")
	}
}

// TestProcessRemembersAlone has no keeper.
func TestProcessRemembersAlone(t *testing.T) {
	test := newEpochTest(t)
	e := redis.NewEpochs(test.prefix, nil)
	test.wantSettled(e)
	epoch := test.of(e, "marketing")
	test.empty()
	test.wantLost(e, redis.LostError{Kept: epoch})
	test.accept(epoch)
	test.wantSettled(e)
	if got := test.of(e, "marketing"); got == epoch {
		t.Error("the epoch is the lost one")
	}
}

// TestReplacedStoreIsNoticed has a replica find another server's epoch, and then its own again.
func TestReplacedStoreIsNoticed(t *testing.T) {
	test, other := newEpochTest(t), newEpochTest(t)
	running := test.replica()
	epoch := test.of(running, "marketing")
	otherEpoch := other.of(other.replica(), "marketing")
	swap := func() {
		t.Helper()
		for _, of := range []func(prefix string) string{redis.EpochsKey, func(prefix string) string {
			return redis.NamespaceEpochKey(prefix, "marketing")
		}} {
			command(t, "RENAME", of(test.prefix), "t:swap")
			command(t, "RENAME", of(other.prefix), of(test.prefix))
			command(t, "RENAME", "t:swap", of(other.prefix))
		}
	}
	swap()
	fresh := redis.NewEpochs(test.prefix, test.keeper)
	test.wantLost(running, redis.LostError{Kept: epoch, Found: otherEpoch})
	test.wantLost(fresh, redis.LostError{Kept: epoch, Found: otherEpoch})
	swap()
	test.wantSettled(running)
	test.wantSettled(fresh)
	if test.of(running, "marketing") != epoch || test.of(fresh, "marketing") != epoch {
		t.Error("the epoch is not the one of before")
	}

	// Accepted: also those who go by the epoch of the other server follow.
	swap()
	test.wantLost(running, redis.LostError{Kept: epoch, Found: otherEpoch})
	there := redis.NewEpochs(test.prefix, &keeper{epoch: otherEpoch})
	test.wantSettled(there)
	test.accept(epoch)
	for _, e := range []redis.Epochs{running, fresh, there} {
		test.wantSettled(e)
		if got := test.of(e, "marketing"); got != test.keeper.has() || got == epoch {
			t.Errorf("the epoch is %q, %q is kept", got, test.keeper.has())
		}
	}
}

// TestForgetLooksAnew has another server be there.
func TestForgetLooksAnew(t *testing.T) {
	test := newEpochTest(t)
	e := test.replica()
	epoch := test.of(e, "marketing")
	command(t, "DEL", redis.NamespaceEpochKey(test.prefix, "marketing"))
	if _, err := e.Of(ctx, test.client, "marketing"); err != nil {
		t.Error("of looks although it has looked before", err)
	}
	e.Forget()
	_, err := e.Of(ctx, test.client, "marketing")
	wantLostError(t, err, redis.LostError{Kept: epoch, Namespace: "marketing"})
	test.empty()
	test.wantLost(e, redis.LostError{Kept: epoch})
	e.Forget()
	_, err = e.Of(ctx, test.client, "sales")
	wantLostError(t, err, redis.LostError{Kept: epoch})
}

// TestKeeperAway has the keeper fail at a start, and under a running replica.
func TestKeeperAway(t *testing.T) {
	test := newEpochTest(t)
	away := errors.New("the API server is away")
	test.keeper.set("", away)
	e := redis.NewEpochs(test.prefix, test.keeper)
	if err := e.Settle(ctx, test.client); !errors.Is(err, away) {
		t.Errorf("it settles without the keeper: %v", err)
	}
	if _, err := e.Of(ctx, test.client, "marketing"); err == nil {
		t.Error("it has an epoch without the keeper")
	}
	test.keeper.set("", nil)
	test.wantSettled(e)
	epoch := test.of(e, "marketing")

	test.keeper.set(epoch, away)
	test.wantSettled(e)
	test.empty()
	test.wantLost(e, redis.LostError{Kept: epoch})
	test.accept(epoch)
	test.wantSettled(e) // the keeper could not be told
	test.wantSettled(e)
	next := test.of(e, "marketing")
	test.keeper.set(epoch, nil)
	test.wantSettled(e)
	if test.keeper.has() != next {
		t.Errorf("%q is kept, want %q", test.keeper.has(), next)
	}
}

// TestKeeperLost has what is kept deleted: a fresh pod adopts the epoch that the store has.
func TestKeeperLost(t *testing.T) {
	test := newEpochTest(t)
	epoch := test.of(test.replica(), "marketing")
	test.keeper.set("", nil)
	if got := test.of(test.replica(), "marketing"); got != epoch || test.keeper.has() != epoch {
		t.Errorf("the epoch is %q, %q is kept, want %q", got, test.keeper.has(), epoch)
	}
}

// TestKeeperOfAnother has two replicas begin at the same time on different stores, with one keeper.
func TestKeeperOfAnother(t *testing.T) {
	test, other := newEpochTest(t), newEpochTest(t)
	late := redis.NewEpochs(test.prefix, &lateKeeper{test.keeper})
	other.keeper = test.keeper
	epoch := other.of(other.replica(), "marketing")
	err := late.Settle(ctx, test.client)
	lost := (*redis.LostError)(nil)
	if !errors.As(err, &lost) || lost.Kept != epoch || lost.Found == "" {
		t.Errorf("%v, want the epoch %s to be missed", err, epoch)
	}
}

// lateKeeper says at first that nothing is kept.
type lateKeeper struct{ *keeper }

func (k *lateKeeper) Load(ctx context.Context) (string, error) {
	epoch, err := k.keeper.Load(ctx)
	if k.loads <= 2 {
		return "", err
	}
	return epoch, err
}

// TestTenFirstPods has ten pods begin at the same time, in the same namespaces.
func TestTenFirstPods(t *testing.T) {
	test := newEpochTest(t)
	for range 10 {
		var wg sync.WaitGroup
		for range 10 {
			e, c := redis.NewEpochs(test.prefix, test.keeper), newClient(t)
			wg.Go(func() {
				if err := e.Settle(ctx, c); err != nil {
					t.Error("settle:", err)
					return
				}
				for n := range 20 {
					namespace := fmt.Sprint("n", n)
					got, err := e.Of(ctx, c, namespace)
					if err != nil || got != test.keeper.has() {
						t.Errorf("%s: %q, %v", namespace, got, err)
					}
				}
			})
		}
		wg.Wait()
		test.empty()
		test.keeper.set("", nil)
	}
}

func isLost(err error, epoch string) bool {
	lost := (*redis.LostError)(nil)
	return errors.As(err, &lost) && lost.Kept == epoch
}

// TestEpochOfAnUnavailableStore wants no loss to be told where nothing is known.
func TestEpochOfAnUnavailableStore(t *testing.T) {
	test := newEpochTest(t)
	e := test.replica()
	epoch := test.of(e, "marketing")
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if err := e.Settle(cancelled, test.client); err == nil || isLost(err, epoch) {
		t.Errorf("settle without an answer: %v", err)
	}
	if _, err := e.Of(cancelled, test.client, "sales"); err == nil || isLost(err, epoch) {
		t.Errorf("a namespace without an answer: %v", err)
	}
	e.Suspect("marketing")
	test.wantSettled(e)
	if got := test.of(e, "marketing"); got != epoch {
		t.Errorf("the epoch is %q", got)
	}
}

// TestEpochInACluster empties a server in cluster mode, which wants all keys of a script in a slot.
func TestEpochInACluster(t *testing.T) {
	s, c := clusterOfOne(t)
	k := &keeper{}
	e := redis.NewEpochs("sl", k)
	for range 2 {
		if err := e.Settle(ctx, c); err != nil {
			t.Fatal(err)
		}
		epoch, err := e.Of(ctx, c, "marketing")
		if err != nil || epoch != k.has() {
			t.Fatalf("%q, %v, want %q", epoch, err, k.has())
		}
		s.say(t, "FLUSHALL")
		for _, e := range []redis.Epochs{e, redis.NewEpochs("sl", k)} {
			wantLostError(t, e.Settle(ctx, c), redis.LostError{Kept: epoch})
		}
		if err := redis.AcceptLoss(ctx, c, "sl", epoch); err != nil {
			t.Fatal(err)
		}
	}
}
