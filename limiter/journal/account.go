package journal

import (
	"context"
	"slices"
	"sync/atomic"

	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/memory"
)

// account is an account of the store in memory, whose effects are written to the log.
type account struct {
	*memory.Account
	store *Store
	who   identity
	// number stands for the account in the log; 0 until its first effect. Like last, the LSN of its
	// latest effect, it is guarded by the lock of the account in memory.
	number, last uint64
	// granted is the LSN of the latest grant, and committed that of the latest commit that has to
	// be durable before it is answered.
	granted, committed atomic.Uint64
	// pending are the latest grants, the oldest first: at least those that are not durable. The
	// lock of the account in memory guards it.
	pending []grant
	// doubtful are the reservations of a process that was killed; nil if there are none.
	doubtful atomic.Pointer[doubtful]
}

// doubtful are reservations of which it is not known whether they were committed: their callers may
// have been told so, and the record of it was lost.
type doubtful struct {
	ids   map[memory.IDHash]bool
	until int64 // the last of their deadlines
}

// grant is the LSN of a grant.
type grant struct {
	id  memory.IDHash
	lsn uint64
}

var _ limiter.Account = (*account)(nil)

// Check implements [limiter.Account]. It is allowed once the grant is durable, also if it is an
// earlier one that is repeated. Its errors are those of the store in memory and
// [limiter.ErrStoreUnavailable].
func (a *account) Check(
	ctx context.Context, now limiter.Instant, current *limiter.CurrentPolicy, ask limiter.Ask,
) (limiter.Decision, error) {
	d, lsn, err := a.check(ctx, now, current, ask)
	if err == nil {
		err = a.store.wait(ctx, lsn)
	}
	if err != nil {
		return limiter.Decision{}, err
	}
	return d, nil
}

// check is Check before the wait. It returns the LSN of the record that has to be durable before
// the decision is told, or 0.
func (a *account) check(
	ctx context.Context, now limiter.Instant, current *limiter.CurrentPolicy, ask limiter.Ask,
) (d limiter.Decision, lsn uint64, err error) {
	if err := a.store.admits(); err != nil {
		return d, 0, err
	}
	d, err = a.Account.Check(ctx, now, current, ask)
	if err != nil || d.Verdict != limiter.Allowed {
		return d, 0, err
	}
	return d, a.granted.Load(), nil
}

// Commit implements [limiter.Account]. A commit of a reservation need not wait: were it lost, the
// reservation would count at its deadline, which is later. One that counts more than was reserved
// must be durable, and so must one whose reservation is not yet.
func (a *account) Commit(
	ctx context.Context, now limiter.Instant, id string, cost int64,
) (limiter.Outcome, error) {
	outcome, lsn, err := a.commit(ctx, now, id, cost)
	if err == nil {
		err = a.store.wait(ctx, lsn)
	}
	if err != nil {
		return 0, err
	}
	return outcome, nil
}

// commit is Commit before the wait; see check.
func (a *account) commit(
	ctx context.Context, now limiter.Instant, id string, cost int64,
) (outcome limiter.Outcome, lsn uint64, err error) {
	if err := a.store.log.accepts(); err != nil {
		return 0, 0, err
	}
	outcome, err = a.Account.Commit(ctx, now, id, cost)
	return outcome, a.committed.Load(), err
}

// Release implements [limiter.Account]. It need not wait: were it lost, the reservation would count
// at its deadline. A reservation of a process that was killed cannot be released: it may have been
// committed.
func (a *account) Release(
	ctx context.Context, now limiter.Instant, id string,
) (limiter.Outcome, error) {
	if err := a.store.log.accepts(); err != nil {
		return 0, err
	}
	if a.isDoubtful(now.Mono, id) {
		return 0, limiter.ErrReservationEnded
	}
	return a.Account.Release(ctx, now, id)
}

// doubt notes the outstanding reservations, after a kill.
func (a *account) doubt() {
	d := &doubtful{ids: map[memory.IDHash]bool{}}
	a.Outstanding(func(id memory.IDHash, deadline int64) {
		d.ids[id] = true
		d.until = max(d.until, deadline)
	})
	if len(d.ids) > 0 {
		a.doubtful.Store(d)
	}
}

// isDoubtful reports whether a release may be of a mail whose commit was lost. The oldest
// reservation, which is meant without an id, is doubtful as long as any is.
func (a *account) isDoubtful(now int64, id string) bool {
	d := a.doubtful.Load()
	switch {
	case d == nil:
		return false
	case now >= d.until:
		a.doubtful.Store(nil)
		return false
	}
	return id == "" || d.ids[a.store.hashID(id)]
}

// record appends an effect to the log. The account is locked.
func (a *account) record(e memory.Effect) {
	introduce := a.number == 0
	switch {
	case e.Kind == memory.Purged && introduce:
		return // nothing was ever written of it
	case e.Kind == memory.Purged:
		a.store.forget(a, e)
		return
	case introduce:
		a.store.introduce(a)
	}
	a.append(&e, introduce)
	switch e.Kind {
	case memory.Granted:
		a.granted.Store(a.last)
		a.forgetDurable()
		a.pending = append(a.pending, grant{e.ID, a.last})
	case memory.CommittedLate, memory.CommittedUnreserved:
		a.committed.Store(a.last)
	case memory.Committed:
		if e.CostsMore || a.isPending(e.ID) {
			a.committed.Store(a.last)
		}
	default: // nobody waits for it
	}
}

// append appends the record of an effect to the log, after that of the account if it is its first.
func (a *account) append(e *memory.Effect, introduce bool) {
	l, records := a.store.log, uint64(1)
	g := l.begin(e.At)
	if introduce {
		g.body = appendAccount(g.body, a.number, a.who)
		records++
	}
	g.body = appendEffect(g.body, g.base, a.number, e)
	a.last = l.end(g, records)
}

// isPending reports whether the grant of an id may not be durable yet. The account is locked.
func (a *account) isPending(id memory.IDHash) bool {
	a.forgetDurable()
	return slices.ContainsFunc(a.pending, func(g grant) bool { return g.id == id })
}

// forgetDurable removes the grants that are durable from those that are pending.
func (a *account) forgetDurable() {
	n, durable := 0, a.store.log.synced.Load()
	for n < len(a.pending) && a.pending[n].lsn < durable {
		n++
	}
	if n > 0 {
		a.pending = slices.Delete(a.pending, 0, n)
	}
}
