package redis

import (
	"context"

	"github.com/valkey-io/valkey-go"
)

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
