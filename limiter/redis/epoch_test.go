package redis_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/valkey-io/valkey-go"

	"github.com/sluice-mail/sluice/limiter/redis"
)

// keeper keeps an epoch as an API server does.
type keeper struct {
	mu    sync.Mutex
	epoch string
	away  error // what all calls return
	loads int
}

func (k *keeper) Load(context.Context) (string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.loads++
	return k.epoch, k.away
}

func (k *keeper) Save(_ context.Context, was, epoch string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.away != nil {
		return k.away
	}
	if k.epoch != was {
		return fmt.Errorf("conflict: %q is kept, not %q", k.epoch, was)
	}
	k.epoch = epoch
	return nil
}

func (k *keeper) set(epoch string, away error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.epoch, k.away = epoch, away
}

func (k *keeper) has() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.epoch
}

// epochTest is a store of which replicas know the epoch.
type epochTest struct {
	*testing.T
	client valkey.Client
	prefix string
	keeper *keeper
}

func newEpochTest(t *testing.T) *epochTest {
	t.Helper()
	return &epochTest{t, client(t), options(t).Prefix, &keeper{}}
}

// replica is one that has settled.
func (t *epochTest) replica() redis.Epochs {
	t.Helper()
	e := redis.NewEpochs(t.prefix, t.keeper)
	t.wantSettled(e)
	return e
}

func (t *epochTest) wantSettled(e redis.Epochs) {
	t.Helper()
	if err := e.Settle(ctx, t.client); err != nil {
		t.Fatal(err)
	}
}

// wantLost wants settle to find what is lost, and says what the namespace is told then.
func (t *epochTest) wantLost(e redis.Epochs, want redis.LostError) {
	t.Helper()
	err := e.Settle(ctx, t.client)
	wantLostError(t.T, err, want)
	namespace := want.Namespace
	if namespace == "" {
		namespace = "marketing"
	}
	_, err = e.Of(ctx, t.client, namespace)
	wantLostError(t.T, err, want)
}

func wantLostError(t *testing.T, err error, want redis.LostError) {
	t.Helper()
	lost := (*redis.LostError)(nil)
	if !errors.As(err, &lost) || *lost != want ||
		!strings.Contains(err.Error(), "`sluice redis accept-loss "+want.Kept+"`") ||
		!strings.Contains(err.Error(), want.Namespace) {
		t.Fatalf("the error is %#v (%v), want %+v", err, err, want)
	}
}

// of is the epoch of a namespace, which its key must have, too.
func (t *epochTest) of(e redis.Epochs, namespace string) string {
	t.Helper()
	epoch, err := e.Of(ctx, t.client, namespace)
	if err != nil {
		t.Fatal(err)
	}
	key := redis.NamespaceEpochKey(t.prefix, namespace)
	if got, err := command(t, "GET", key).ToString(); got != epoch || err != nil {
		t.Fatalf("%s is %q, %v, want %q", key, got, err, epoch)
	}
	return epoch
}

// empty deletes all keys of the store, as FLUSHALL does.
func (t *epochTest) empty() {
	t.Helper()
	for _, key := range commandKeys(t.T, t.prefix+":*") {
		command(t, "DEL", key)
	}
}

func (t *epochTest) accept(epoch string) {
	t.Helper()
	if err := redis.AcceptLoss(ctx, t.client, t.prefix, epoch); err != nil {
		t.Fatal(err)
	}
}

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

// TestLostNamespaceIsNoticed deletes the key of one namespace: so it looks where one node of a
// cluster was emptied.
func TestLostNamespaceIsNoticed(t *testing.T) {
	test := newEpochTest(t)
	running := test.replica()
	epoch := test.of(running, "marketing")
	test.of(running, "sales")
	command(t, "DEL", redis.NamespaceEpochKey(test.prefix, "marketing"))
	lost := redis.LostError{Kept: epoch, Namespace: "marketing"}

	fresh := test.replica()
	_, err := fresh.Of(ctx, test.client, "marketing")
	wantLostError(t, err, lost)
	test.wantLost(fresh, lost)   // it was its own finding
	test.wantSettled(running)    // it has heard nothing yet
	running.Suspect("marketing") // from a script
	for range 2 {
		test.wantLost(running, lost)
		if got := test.of(running, "sales"); got != epoch {
			t.Errorf("another namespace's epoch is %q", got)
		}
	}
	test.accept(epoch)
	for _, e := range []redis.Epochs{running, fresh} {
		test.wantSettled(e)
		for _, namespace := range []string{"marketing", "sales", "new"} {
			if got := test.of(e, namespace); got == epoch {
				t.Errorf("%s has the old epoch", namespace)
			}
		}
	}
}

// TestLostHashIsNoticed deletes what the store says of itself, and the keeper, too. The keys of the
// namespaces still tell.
func TestLostHashIsNoticed(t *testing.T) {
	test := newEpochTest(t)
	epoch := test.of(test.replica(), "marketing")
	command(t, "DEL", redis.EpochsKey(test.prefix))
	test.keeper.set("", nil)
	fresh := test.replica()
	lost := redis.LostError{Kept: epoch, Found: test.keeper.has(), Namespace: "marketing"}
	_, err := fresh.Of(ctx, test.client, "marketing")
	wantLostError(t, err, lost)
	test.wantLost(fresh, lost)
	test.accept(epoch)
	test.wantSettled(fresh)
	test.of(fresh, "marketing")
}

// TestSuspectIsForgiven has a script say that a key is wrong which is not, or not any more.
func TestSuspectIsForgiven(t *testing.T) {
	test := newEpochTest(t)
	e := test.replica()
	epoch := test.of(e, "marketing")
	e.Suspect("marketing")
	test.wantSettled(e)
	// A failover that loses the newest writes loses both, the newest first.
	for _, lose := range [][]string{
		{"HDEL", redis.EpochsKey(test.prefix), "ns:marketing"},
		{"DEL", redis.NamespaceEpochKey(test.prefix, "marketing")},
	} {
		command(t, lose...)
		e.Suspect("marketing")
		test.wantSettled(e)
		if got := test.of(e, "marketing"); got != epoch {
			t.Errorf("after %q the epoch is %q", lose, got)
		}
		command(t, "HDEL", redis.EpochsKey(test.prefix), "ns:marketing")
	}
}

// TestNoNamespaceEntersAnOlderEpoch has the epoch change before settle has seen it.
func TestNoNamespaceEntersAnOlderEpoch(t *testing.T) {
	test := newEpochTest(t)
	e := test.replica()
	epoch := test.of(e, "marketing")
	command(t, "HSET", redis.EpochsKey(test.prefix), "lost:"+epoch, "1")
	test.accept(epoch)
	e.Forget()
	for _, namespace := range []string{"marketing", "sales"} {
		if got, err := e.Of(ctx, test.client, namespace); err == nil || isLost(err, epoch) {
			t.Errorf("%s is let into %q, %v", namespace, got, err)
		}
	}
	test.wantSettled(e)
	if got := test.of(e, "marketing"); got == epoch {
		t.Error("the epoch is the old one")
	}
}

// TestEpochScriptsLookFirst has another replica be quicker than one that has looked.
func TestEpochScriptsLookFirst(t *testing.T) {
	test := newEpochTest(t)
	epoch := test.of(test.replica(), "marketing")
	key := redis.NamespaceEpochKey(test.prefix, "marketing")
	for was, want := range map[string]bool{"": false, "older": false, epoch: true} {
		done, err := redis.ReplaceEpoch(ctx, test.client, key, was, epoch+"+")
		if done != want || err != nil {
			t.Errorf("was %q: %v, %v", was, done, err)
		}
		if want { // another replica has done the same meanwhile
			done, err = redis.ReplaceEpoch(ctx, test.client, key, was, epoch+"+")
			if !done || err != nil {
				t.Errorf("again: %v, %v", done, err)
			}
		}
		command(t, "SET", key, epoch)
	}
	for of, want := range map[string]bool{"older": false, epoch: true} {
		done, err := redis.ListNamespace(ctx, test.client, redis.EpochsKey(test.prefix), of, "sales")
		if done != want || err != nil {
			t.Errorf("of %q: %v, %v", of, done, err)
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
