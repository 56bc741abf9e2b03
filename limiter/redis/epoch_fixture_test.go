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
