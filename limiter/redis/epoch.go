package redis

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/valkey-io/valkey-go"
)

// The store has an epoch, a random number that it has got once. An emptied store has none, another
// store has another: what was sent is not known there, so that an Allow could be one too many.
//
//	sl:{sluice}:epochs      HASH  id              -> the epoch
//	                              was:<epoch>     -> 1: its loss was accepted
//	                              lost:<epoch>    -> 1: a replica misses it
//	                              old:<epoch>     -> 1: a replica knows that much is missing since
//	                              ns:<namespace>  -> the epoch in which it was used first
//	sl:{namespace}:epoch    STRING the epoch: a node of a cluster may be emptied alone
//
// None expires. The hash has another name than a namespace's key: "sluice" may be a namespace.

// Keeper remembers the epoch of the store outside of it.
type Keeper interface {
	// Load returns the epoch that is kept, or "" if none is yet.
	Load(ctx context.Context) (epoch string, err error)
	// Save keeps an epoch. It is an error if what is kept is no longer was, which Load said.
	Save(ctx context.Context, was, epoch string) error
}

// LostError says that the store is not the one whose epoch is kept.
type LostError struct {
	Kept      string // the epoch that is missed
	Found     string // the one that is there; empty if the store is
	Namespace string // whose part of the store it is; empty if it is the whole store
	Old       bool   // it is the store that is kept, but as it was more than a minute before
}

// Error says what to do, too.
func (e *LostError) Error() string {
	if e.Old {
		return fmt.Sprintf("the store has lost what was sent: it is as it was more than a minute before "+
			"it was away; bring back what it had last, or run `sluice redis accept-loss %s` to go on "+
			"without it", e.Kept)
	}
	of, found := "", "is empty"
	if e.Namespace != "" {
		of = " of the namespace " + e.Namespace
	}
	if e.Found != "" {
		found = "has the epoch " + e.Found
	}
	return fmt.Sprintf("the store%s has lost what was sent: it had the epoch %s, and now it %s; "+
		"bring the old one back, or run `sluice redis accept-loss %[2]s` to go on without it",
		of, e.Kept, found)
}

// errUnsettled tells of a call that came before the store's epoch was known, or was known anew.
var errUnsettled = errors.New("the epoch of the store is not known yet")

// epochs knows the epoch of the store and of each namespace in it.
type epochs struct {
	prefix  string
	keeper  Keeper // or nil: then this process alone remembers
	current atomic.Pointer[settled]

	mu       sync.Mutex // for suspects
	suspects map[string]struct{}

	settling sync.Mutex // for what follows
	own      string     // the epoch that this process settled on; "" if it has not yet
	kept     string     // what the keeper has, as far as this process knows
	loaded   bool       // whether kept needs no look at the keeper
}

// settled is what settle found. Another one takes its place when that changes.
type settled struct {
	epoch      string
	doubt      error    // why there is no epoch, or nil
	namespaces sync.Map // the names of those whose key is right
}

func newEpochs(prefix string, keeper Keeper) *epochs {
	e := &epochs{prefix: prefix, keeper: keeper, suspects: map[string]struct{}{}}
	e.current.Store(&settled{doubt: errUnsettled})
	return e
}

func epochsKey(prefix string) string { return prefix + ":{sluice}:epochs" }

// namespaceEpochKey is on the node that has the namespace's accounts.
func namespaceEpochKey(prefix, namespace string) string {
	return prefix + ":{" + namespace + "}:epoch"
}

func newEpoch() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it never fails
	return hex.EncodeToString(b[:])
}

// settle looks which epoch the store has. The error is a LostError, or says why it is not known.
// It is one round trip, unless something has changed. The context bounds the keeper, too.
func (e *epochs) settle(ctx context.Context, client valkey.Client) error {
	e.settling.Lock()
	defer e.settling.Unlock()
	epoch, err := e.agree(ctx, client)
	if lost := (*LostError)(nil); errors.As(err, &lost) {
		e.miss(ctx, client, lost)
		e.current.Store(&settled{doubt: lost})
	}
	if err != nil {
		return err
	}
	e.own = epoch
	if e.current.Load().epoch != epoch {
		e.current.Store(&settled{epoch: epoch})
	}
	return e.checkSuspects(ctx, client)
}

// agree returns the epoch of the store once the keeper has the same.
func (e *epochs) agree(ctx context.Context, client valkey.Client) (string, error) {
	const tries = 3
	for try := 1; ; try++ {
		if err := e.load(ctx); err != nil {
			return "", err
		}
		epoch, err := e.find(ctx, client)
		if err != nil || e.keeper == nil || e.kept == epoch {
			return epoch, err
		}
		err = e.keeper.Save(ctx, e.kept, epoch)
		if err == nil {
			e.kept = epoch
			return epoch, nil
		}
		e.loaded = false // another replica may have saved it
		if e.own != "" {
			return epoch, nil // this process remembers; the next settle tries again
		}
		if try == tries {
			return "", fmt.Errorf("the epoch of the store cannot be kept: %w", err)
		}
	}
}

// load asks the keeper what it has. A process that has settled goes on without it.
func (e *epochs) load(ctx context.Context) error {
	if e.keeper == nil || e.loaded {
		return nil
	}
	kept, err := e.keeper.Load(ctx)
	if err == nil {
		e.kept, e.loaded = kept, true
		return nil
	}
	if e.own != "" {
		return nil
	}
	return fmt.Errorf("the epoch that was kept of the store cannot be read: %w", err)
}

// find returns the epoch of the store if it is the one that is known, or if the loss of that was
// accepted. Where none is known and the store has none, it gets one.
func (e *epochs) find(ctx context.Context, client valkey.Client) (string, error) {
	key := epochsKey(e.prefix)
	known := [...]string{e.own, e.kept}
	fields, err := client.Do(ctx, client.B().Hmget().Key(key).
		Field("id", "was:"+known[0], "was:"+known[1], "old:"+known[0], "old:"+known[1]).
		Build()).AsStrSlice()
	if err != nil {
		return "", err
	}
	if len(fields) != 1+2*len(known) {
		return "", errNoAnswer
	}
	found, accepted, old := fields[0], fields[1:], fields[1+len(known):]
	for n, epoch := range known {
		if epoch != "" && epoch == found && old[n] != "" {
			return "", &LostError{Kept: epoch, Found: found, Old: true}
		}
		if epoch != "" && epoch != found && accepted[n] == "" {
			return "", &LostError{Kept: epoch, Found: found}
		}
	}
	if found != "" {
		return found, nil
	}
	if err := client.Do(ctx, client.B().Hsetnx().Key(key).Field("id").Value(newEpoch()).
		Build()).Error(); err != nil {
		return "", err
	}
	return client.Do(ctx, client.B().Hget().Key(key).Field("id").Build()).ToString()
}

// miss notes in the store what a replica misses there, so that no other loss is accepted instead.
// If that fails, the next settle does it.
func (e *epochs) miss(ctx context.Context, client valkey.Client, lost *LostError) {
	_ = client.Do(ctx, client.B().Hsetnx().Key(epochsKey(e.prefix)).Field("lost:"+lost.Kept).
		Value("1").Build()).Error()
}

// outdated notes in the store, for all replicas, that it has gone back further than they tell anew.
func (e *epochs) outdated(ctx context.Context, client valkey.Client) error {
	epoch := e.current.Load().epoch
	lost := &LostError{Kept: epoch, Found: epoch, Old: true}
	if err := client.Do(ctx, client.B().Hset().Key(epochsKey(e.prefix)).FieldValue().
		FieldValue("lost:"+epoch, "1").FieldValue("old:"+epoch, "1").Build()).Error(); err != nil {
		return err
	}
	return lost
}

// forget has of look anew: another server may be there.
func (e *epochs) forget() {
	for {
		s := e.current.Load()
		if e.current.CompareAndSwap(s, &settled{epoch: s.epoch, doubt: s.doubt}) {
			return
		}
	}
}
