package limiter

import (
	"context"
	"sync/atomic"
)

// Store keeps what accounts have sent and reserved. The [Limiter] in front of it is the gate: it
// knows which accounts there are and which policy each has, on every replica.
//
// Every store keeps the same promises to the nanosecond; limiter/limitertest holds them to it.
type Store interface {
	// Open returns the account of a key in one of its lives, which the uid tells apart. It makes
	// the account if the store has none. The gate opens an account once in each life, and the next
	// life only after it has purged the one before. Open must not block.
	Open(key Key, uid string) Account
	// Loaded says that every account there is has been opened. What the store still keeps of others
	// is of accounts that were deleted while nobody watched: it purges them. It must not block.
	Loaded()
	// Reservations returns how many reservations are outstanding, over all accounts. It visits no
	// account: it is for metrics.
	Reservations() int
}

// Account is one account of a [Store]. All methods may be called concurrently. Each call is one
// atomic step: it brings the account to the present, loads the policy, decides, and changes what it
// has to. Of an account that was purged, or whose policy is nil, each returns [ErrAccountNotFound].
//
// An account believes that time only goes forward: an Instant that is before one that it has seen
// counts as the one it has seen, but for the durations in the answer, which count from the Instant
// of the call. The arguments were validated: ask is as [Ask] says, a cost is 0..MaxCost.
type Account interface {
	// Check decides whether a send may happen now, and if so holds a slot for it. A denied check,
	// and one that returns an error, changes nothing.
	Check(ctx context.Context, now Instant, policy *CurrentPolicy, ask Ask) (Decision, error)
	// Commit records a send; see [Limiter.Commit].
	Commit(ctx context.Context, now Instant, id string, cost int64) (Outcome, error)
	// Release gives a slot back; see [Limiter.Release].
	Release(ctx context.Context, now Instant, id string) (Outcome, error)
	// Usage reports the state of the account. It leaves Key to the gate.
	Usage(ctx context.Context, now Instant, policy *CurrentPolicy) (Usage, error)
	// Purge forgets everything and closes the account. It returns how many entries that were:
	// stamps in the history and outstanding reservations. It may be repeated.
	Purge(ctx context.Context) (entries int, err error)
}

// CurrentPolicy is the policy of an account, which may change while calls run. A store loads it
// inside its atomic step, so that the limits that decide are those in force at that instant. The
// zero value is no policy: the account is not found.
type CurrentPolicy struct{ policy atomic.Pointer[Policy] }

// Load returns the policy, or nil. Nobody may change what it points to.
func (c *CurrentPolicy) Load() *Policy { return c.policy.Load() }

// Store puts another policy in force, or none if it is nil.
func (c *CurrentPolicy) Store(p *Policy) { c.policy.Store(p) }
