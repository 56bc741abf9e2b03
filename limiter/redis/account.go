package redis

import (
	"context"
	"encoding/binary"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-mail/sluice/limiter"
)

// keys is how many keys each script gets.
const keys = 5

// account is one account, as this replica knows it.
type account struct {
	store     *Store
	namespace string
	base      string // what the names of its keys begin with
	keys      [keys]string
	life      atomic.Uint32 // which life of the keys is meant; 0 is not known yet. See lives.go
	count     atomic.Int64  // its outstanding reservations, when an answer last told
	denial    atomic.Pointer[denied]
	changes   atomic.Uint64 // how often the server said that it was written to
	tracking  atomic.Bool   // whether that is being asked for

	mu       sync.Mutex
	answered bool
	version  uint32        // of the latest answer
	lineage  uint32        // of the store, at that answer
	when     time.Duration // that was
	closed   bool          // it was purged here
}

var _ limiter.Account = (*account)(nil)

// Check implements [limiter.Account].
func (a *account) Check(
	ctx context.Context, now limiter.Instant, current *limiter.CurrentPolicy, ask limiter.Ask,
) (limiter.Decision, error) {
	p := current.Load()
	if p == nil {
		return limiter.Decision{}, limiter.ErrAccountNotFound
	}
	if d, ok := a.deniedAgain(now, p, ask); ok {
		return d, nil
	}
	a.store.late.cancel(a, ask.ID)
	held := &a.store.held
	others := held.pending.Add(1) - 1
	defer held.pending.Add(-1)
	c := a.checkCall(now, p, ask, others)
	reply, err := a.run(ctx, &c)
	if err != nil {
		a.doubt(&c, ask)
		return limiter.Decision{}, err
	}
	return a.decision(reply, &c, p, ask)
}

// checkCall is the call of a check, while others wait for their answers.
func (a *account) checkCall(
	now limiter.Instant, p *limiter.Policy, ask limiter.Ask, others int64,
) call {
	ttl := min(ask.TTL, maxTTL)
	c := call{
		script: checkScript, now: now, id: idArgument(ask.ID), policy: policyArgument(p),
		kind: recentCheck,
	}
	c.with(ask.Cost, int64(ttl/time.Second), int64(ttl%time.Second),
		int64(a.store.options.MaxReservationsPerAccount),
		a.store.held.allowance(a.count.Load(), others))
	return c
}

// decision is what the answer to a check says.
func (a *account) decision(
	reply answer, c *call, p *limiter.Policy, ask limiter.Ask,
) (d limiter.Decision, err error) {
	ok := false
	switch reply.status {
	case statusAllowed:
		reply.decider(p, allowedSize)
		d, ok = reply.allowed(ask)
	case statusDenied:
		mine := p
		p = reply.decider(p, stateSize)
		d, ok = reply.denied(p, c.now, ask.Cost)
		if ok && p == mine {
			a.remember(&reply, c, p, ask)
		}
	case statusSuspended:
		d, ok = limiter.Decision{Verdict: denial(reply.decider(p, 0)), Suspended: true}, true
	default:
		err, ok = errorOf[reply.status]
	}
	if !ok {
		return limiter.Decision{}, a.store.unavailable(errNoAnswer)
	}
	return d, err
}

// doubt gives back, in the background, what a check may have taken that got no answer, unless its
// caller can ask again.
func (a *account) doubt(c *call, ask limiter.Ask) {
	if c.sent && ask.New {
		a.store.late.add(late{account: a, verb: limiter.ToRelease, id: ask.ID, told: true})
	}
}

// later has a commit or a release made in the background that got no answer. Without an id it is
// the caller's to repeat.
func (a *account) later(verb limiter.Verb, id string, cost int64) {
	if id != "" {
		a.store.late.add(late{account: a, verb: verb, id: id, cost: cost})
	}
}

// Commit implements [limiter.Account].
func (a *account) Commit(
	ctx context.Context, now limiter.Instant, id string, cost int64,
) (limiter.Outcome, error) {
	c := a.commitCall(now, id, cost)
	o, err := a.end(ctx, &c)
	if err == limiter.ErrStoreUnavailable { //nolint:errorlint // it is never wrapped
		a.later(limiter.ToCommit, id, cost)
	}
	return o, err
}

func (a *account) commitCall(now limiter.Instant, id string, cost int64) call {
	c := call{script: commitScript, now: now, id: endArgument(id), kind: recentCommit}
	c.with(cost, 0)
	return c
}

// Release implements [limiter.Account].
func (a *account) Release(
	ctx context.Context, now limiter.Instant, id string,
) (limiter.Outcome, error) {
	c := a.releaseCall(now, id)
	o, err := a.end(ctx, &c)
	if err == limiter.ErrStoreUnavailable { //nolint:errorlint // it is never wrapped
		a.later(limiter.ToRelease, id, 0)
	}
	return o, err
}

func (a *account) releaseCall(now limiter.Instant, id string) call {
	c := call{script: releaseScript, now: now, id: endArgument(id), kind: recentRelease}
	c.with(0)
	return c
}

func (a *account) end(ctx context.Context, c *call) (limiter.Outcome, error) {
	reply, err := a.run(ctx, c)
	if err != nil {
		return 0, err
	}
	return a.outcome(reply)
}

// outcome is what the answer to a commit or a release says.
func (a *account) outcome(reply answer) (limiter.Outcome, error) {
	o, err, ok := reply.outcome()
	if !ok {
		return 0, a.store.unavailable(errNoAnswer)
	}
	return o, err
}

// Usage implements [limiter.Account].
func (a *account) Usage(
	ctx context.Context, now limiter.Instant, current *limiter.CurrentPolicy,
) (limiter.Usage, error) {
	p := current.Load()
	if p == nil {
		return limiter.Usage{}, limiter.ErrAccountNotFound
	}
	c := a.usageCall(now, p)
	reply, err := a.run(ctx, &c)
	if err != nil {
		return limiter.Usage{}, err
	}
	return a.usage(reply, p)
}

func (a *account) usageCall(now limiter.Instant, p *limiter.Policy) call {
	return call{script: usageScript, now: now, policy: policyArgument(p)}
}

// usage is what the answer to a usage says.
func (a *account) usage(reply answer, p *limiter.Policy) (limiter.Usage, error) {
	if err, failed := errorOf[reply.status]; failed {
		return limiter.Usage{}, err
	}
	p = reply.decider(p, stateSize)
	u, ok := reply.usage(p)
	if !ok || reply.status != statusUsage {
		return limiter.Usage{}, a.store.unavailable(errNoAnswer)
	}
	return u, nil
}

// Purge implements [limiter.Account]. It counts what the account holds now.
func (a *account) Purge(ctx context.Context) (entries int, err error) {
	if a.isClosed() {
		return 0, nil
	}
	c := call{script: purgeScript, now: limiter.Instant{Mono: a.store.latest.Load()}}
	reply, err := a.run(ctx, &c)
	if err != nil {
		return 0, err
	}
	if reply.status == statusPurged {
		if len(reply.body) != 4 {
			return 0, a.store.unavailable(errNoAnswer)
		}
		entries = int(binary.BigEndian.Uint32(reply.body))
	} else if reply.status != statusNotFound { // another replica was here first
		return 0, a.store.unavailable(errNoAnswer)
	}
	a.close()
	a.store.denials.forget(a)
	a.store.lives.end(a.base, reply.life)
	return entries, nil
}

// close has the account answer that it was purged.
func (a *account) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.closed {
		a.closed = true
		a.denial.Store(nil)
		a.note(0)
	}
}

func (a *account) isClosed() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.closed
}
