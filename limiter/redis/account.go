package redis

import (
	"context"
	"encoding/binary"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-mail/sluice/limiter"
)

// account is one account, as this replica knows it.
type account struct {
	store *Store
	base  string // what the names of its keys begin with
	keys  [4]string
	life  atomic.Uint32 // which life of the keys is meant; 0 is not known yet. See lives.go
	count atomic.Int64  // its outstanding reservations, when an answer last told

	mu       sync.Mutex
	answered bool
	version  uint32 // of the answer that count is of
	closed   bool   // it was purged here
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
	held := &a.store.held
	others := held.pending.Add(1) - 1
	defer held.pending.Add(-1)
	reply, err := a.run(ctx, a.checkCall(now, p, ask, others))
	if err != nil {
		return limiter.Decision{}, err
	}
	return a.decision(reply, now, p, ask)
}

// checkCall is the call of a check, while others wait for their answers.
func (a *account) checkCall(
	now limiter.Instant, p *limiter.Policy, ask limiter.Ask, others int64,
) call {
	ttl := min(ask.TTL, maxTTL)
	return call{
		script: checkScript, now: now, id: idArgument(ask.ID),
		args: [2]string{numbers(
			int64(a.life.Load()), ask.Cost, int64(ttl/time.Second), int64(ttl%time.Second),
			int64(a.store.options.MaxReservationsPerAccount),
			a.store.held.allowance(a.count.Load(), others),
		), policyArgument(p)},
	}
}

// decision is what the answer to a check says.
func (a *account) decision(
	reply answer, now limiter.Instant, p *limiter.Policy, ask limiter.Ask,
) (d limiter.Decision, err error) {
	ok := false
	switch reply.status {
	case statusAllowed:
		d, ok = reply.allowed(ask)
	case statusDenied:
		d, ok = reply.denied(p, now, ask.Cost)
	case statusSuspended:
		d, ok = limiter.Decision{Verdict: denial(p), Suspended: true}, true
	default:
		err, ok = errorOf[reply.status]
	}
	if !ok {
		return limiter.Decision{}, a.store.unavailable(errNoAnswer)
	}
	return d, err
}

// Commit implements [limiter.Account].
func (a *account) Commit(
	ctx context.Context, now limiter.Instant, id string, cost int64,
) (limiter.Outcome, error) {
	return a.end(ctx, a.commitCall(now, id, cost))
}

func (a *account) commitCall(now limiter.Instant, id string, cost int64) call {
	return call{
		script: commitScript, now: now, id: idArgument(id), once: id == "",
		args: [2]string{numbers(int64(a.life.Load()), cost)},
	}
}

// Release implements [limiter.Account].
func (a *account) Release(
	ctx context.Context, now limiter.Instant, id string,
) (limiter.Outcome, error) {
	return a.end(ctx, a.releaseCall(now, id))
}

func (a *account) releaseCall(now limiter.Instant, id string) call {
	return call{
		script: releaseScript, now: now, id: idArgument(id), once: id == "",
		args: [2]string{numbers(int64(a.life.Load()))},
	}
}

func (a *account) end(ctx context.Context, c call) (limiter.Outcome, error) {
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
	reply, err := a.run(ctx, a.usageCall(now, p))
	if err != nil {
		return limiter.Usage{}, err
	}
	return a.usage(reply, p)
}

func (a *account) usageCall(now limiter.Instant, p *limiter.Policy) call {
	return call{
		script: usageScript, now: now,
		args: [2]string{numbers(int64(a.life.Load())), policyArgument(p)},
	}
}

// usage is what the answer to a usage says.
func (a *account) usage(reply answer, p *limiter.Policy) (limiter.Usage, error) {
	if err, failed := errorOf[reply.status]; failed {
		return limiter.Usage{}, err
	}
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
	reply, err := a.run(ctx, call{
		script: purgeScript, now: limiter.Instant{Mono: a.store.latest.Load()},
		args: [2]string{numbers(int64(a.life.Load()))},
	})
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
	a.store.lives.end(a.base, reply.life)
	return entries, nil
}

// close has the account answer that it was purged.
func (a *account) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.closed {
		a.closed = true
		a.note(0)
	}
}

func (a *account) isClosed() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.closed
}
