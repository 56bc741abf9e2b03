package redis_test

import (
	"testing"

	"github.com/sluice-mail/sluice/limiter/redis"
)

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
