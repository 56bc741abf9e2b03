package limiter

import (
	"context"
	"errors"
)

// Verb says which call a [Call] is.
type Verb uint8

// The verbs. The zero value is none of them.
const (
	_ Verb = iota
	ToCheck
	ToCommit
	ToRelease
	ToUsage
)

// Call is one of many calls that [Limiter.Do] makes: what is asked, and what is answered.
type Call struct {
	Key  Key
	Verb Verb
	// Ask is what a check asks for. A commit has its ID and Cost there, a release its ID; see
	// [Limiter.Commit] and [Limiter.Release].
	Ask Ask

	// Decision is the answer to a check, Outcome that to a commit or a release. A usage is written
	// to where Usage points.
	Decision Decision
	Outcome  Outcome
	Usage    *Usage
	// Err is what the single method would have returned. A call that has one already is not made.
	Err error
}

// AccountCall is a [Call] with its account in the store, and the policy of that.
type AccountCall struct {
	*Call
	Account Account
	Policy  *CurrentPolicy
}

// BatchStore is a [Store] that makes many calls in fewer steps than one for each: with one wait for
// its disk, or in one round trip.
type BatchStore interface {
	Store
	// Do makes calls as the methods of their accounts would, which it has opened itself, and writes
	// the answers. After an error, no answer may be told. All calls were validated. Those on one
	// account happen in their order, as far as the store can: it says where it cannot.
	Do(ctx context.Context, now Instant, calls []AccountCall) error
}

// Do makes many calls at one instant. Each is decided on its own, in order, as if it were made
// alone; what is wrong with one is its Err, and no other call's concern. If Do itself returns an
// error, none of the answers may be told: what the calls changed may not be durable.
func (l *Limiter) Do(ctx context.Context, now Instant, calls []Call) error {
	store, ok := l.store.(BatchStore)
	if !ok {
		for i := range calls {
			l.one(ctx, now, &calls[i])
		}
		return nil
	}
	batch := make([]AccountCall, 0, len(calls))
	for i := range calls {
		c := &calls[i]
		if c.Err != nil {
			continue
		}
		a, err := l.accountOf(c)
		if err != nil {
			c.Err = err
			continue
		}
		batch = append(batch, AccountCall{c, a.state, &a.policy})
	}
	if len(batch) == 0 {
		return nil
	}
	if err := store.Do(ctx, now, batch); err != nil {
		return err
	}
	for _, c := range batch {
		if c.Verb == ToUsage {
			c.Usage.Key = c.Key
		}
	}
	return nil
}

// one makes a call alone.
func (l *Limiter) one(ctx context.Context, now Instant, c *Call) {
	if c.Err != nil {
		return
	}
	switch c.Verb {
	case ToCheck:
		c.Decision, c.Err = l.Check(ctx, now, c.Key, c.Ask)
	case ToCommit:
		c.Outcome, c.Err = l.Commit(ctx, now, c.Key, c.Ask.ID, c.Ask.Cost)
	case ToRelease:
		c.Outcome, c.Err = l.Release(ctx, now, c.Key, c.Ask.ID)
	case ToUsage:
		*c.Usage, c.Err = l.Usage(ctx, now, c.Key)
	default:
		c.Err = ErrInvalid
	}
}

// accountOf validates a call, and returns the account that it is for.
func (l *Limiter) accountOf(c *Call) (*account, error) {
	switch c.Verb {
	case ToCheck:
		return l.forCheck(c.Key, &c.Ask)
	case ToCommit:
		return l.forCommit(c.Key, c.Ask.Cost)
	case ToRelease, ToUsage:
		return l.find(c.Key)
	default:
		return nil, ErrInvalid
	}
}

// List reports accounts in the order of their keys: those of one namespace, or of all if it is
// empty, that come after a key, at most limit of them. More reports whether there are any beyond.
// An account that is created or deleted while the pages are read may or may not be in them; no
// other one is missed or repeated.
func (l *Limiter) List(
	ctx context.Context, now Instant, namespace string, after Key, limit int,
) (page []Usage, more bool, err error) {
	if !l.Loaded() {
		return nil, false, ErrNotLoaded
	}
	keys := l.accounts.keysAfter(namespace, after, limit+1)
	if more = len(keys) > limit; more {
		keys = keys[:limit]
	}
	page = make([]Usage, len(keys))
	calls := make([]Call, len(keys))
	for i, k := range keys {
		calls[i] = Call{Key: k, Verb: ToUsage, Usage: &page[i]}
	}
	if err := l.Do(ctx, now, calls); err != nil {
		return nil, false, err
	}
	n := 0
	for i := range calls {
		switch err := calls[i].Err; {
		case errors.Is(err, ErrAccountNotFound): // it was deleted meanwhile
		case err != nil:
			return nil, false, err
		default:
			if n != i {
				page[n] = page[i]
			}
			n++
		}
	}
	return page[:n], more, nil
}
