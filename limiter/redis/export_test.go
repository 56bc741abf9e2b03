package redis

import (
	"context"
	"time"

	"github.com/valkey-io/valkey-go"

	"github.com/sluice-mail/sluice/limiter"
)

// New returns a Store on a client that the caller closes. It takes the server as it is: it neither
// watches it nor remembers anything.
func New(client valkey.Client, o Options) *Store {
	s := newStore(o)
	s.link.client.Store(&client)
	s.epochs = nil
	s.health.made.Store(1)
	s.health.probed(1, nil)
	return s
}

// HurryBeats has replicas tell less anew, so that more is lost.
func HurryBeats(d time.Duration) { beatsFor = d }

// HurryOthers has replicas wait less for each other.
func HurryOthers(d time.Duration) { othersTell = d }

// OpenWithDenials is [Open], of a store that remembers denials also in the time of the calls.
func OpenWithDenials(o Options) (*Store, error) { return open(o, true) }

// AwaitTracking waits until the server tells of changes to the account, or will not.
func AwaitTracking(of limiter.Account) {
	for of.(*account).tracking.Load() {
		time.Sleep(10 * time.Microsecond)
	}
}

// What tests need to know of the epoch.
var (
	EpochsKey         = epochsKey
	NamespaceEpochKey = namespaceEpochKey
)

// ReplaceEpoch runs the script that changes a namespace's key.
func ReplaceEpoch(ctx context.Context, c valkey.Client, key, was, epoch string) (bool, error) {
	return runEpochScript(ctx, c, replaceEpoch, key, was, epoch)
}

// ListNamespace runs the script that lists a namespace.
func ListNamespace(ctx context.Context, c valkey.Client, key, epoch, ns string) (bool, error) {
	return runEpochScript(ctx, c, listNamespace, key, epoch, ns)
}

// Epochs is what a replica knows of the epochs.
type Epochs struct{ *epochs }

// NewEpochs is newEpochs.
func NewEpochs(prefix string, keeper Keeper) Epochs { return Epochs{newEpochs(prefix, keeper)} }

// Settle is settle.
func (e Epochs) Settle(ctx context.Context, c valkey.Client) error { return e.settle(ctx, c) }

// Of is of.
func (e Epochs) Of(ctx context.Context, c valkey.Client, namespace string) (string, error) {
	return e.of(ctx, c, namespace)
}

// Suspect is suspect.
func (e Epochs) Suspect(namespace string) { e.suspect(namespace) }

// Forget is forget.
func (e Epochs) Forget() { e.forget() }
