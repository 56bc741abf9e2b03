package limiter

import "context"

// Durability is a store that answers some calls only once what they changed is durable.
type Durability interface {
	// Wait returns when all changes up to a position are durable, or an error if they may not be.
	Wait(ctx context.Context, position uint64) error
}

// Batch lets many calls wait once. Calls under its context return before what they changed is
// durable; nobody may be told of their results before Wait has returned nil. A Batch is for one
// goroutine. The zero value is ready.
type Batch struct {
	store    Durability
	position uint64
}

type batchKey struct{}

// Context returns a context for the calls of the batch.
func (b *Batch) Context(ctx context.Context) context.Context {
	return context.WithValue(ctx, batchKey{}, b)
}

// BatchOf returns the batch that a call is part of, or nil.
func BatchOf(ctx context.Context) *Batch {
	b, _ := ctx.Value(batchKey{}).(*Batch)
	return b
}

// Defer has the batch wait for a position of its store, besides what it waits for already.
func (b *Batch) Defer(store Durability, position uint64) {
	b.store, b.position = store, max(b.position, position)
}

// Wait returns when all that the calls changed is durable. After an error, none of their results
// may be told.
func (b *Batch) Wait(ctx context.Context) error {
	if b.store == nil {
		return nil
	}
	return b.store.Wait(ctx, b.position)
}
