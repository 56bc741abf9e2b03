package journal

import (
	"context"

	"github.com/sluice-mail/sluice/limiter"
)

// Do implements [limiter.BatchStore]. All calls happen in their order, and it waits once, for the
// last record that any of them would wait for.
func (s *Store) Do(ctx context.Context, now limiter.Instant, calls []limiter.AccountCall) error {
	var last uint64
	for _, c := range calls {
		a, ok := c.Account.(*account)
		if !ok {
			c.Err = limiter.ErrAccountNotFound // it is no account of this store
			continue
		}
		var lsn uint64
		switch c.Verb {
		case limiter.ToCheck:
			c.Decision, lsn, c.Err = a.check(ctx, now, c.Policy, c.Ask)
		case limiter.ToCommit:
			c.Outcome, lsn, c.Err = a.commit(ctx, now, c.Ask.ID, c.Ask.Cost)
		case limiter.ToRelease:
			c.Outcome, c.Err = a.Release(ctx, now, c.Ask.ID)
		case limiter.ToUsage:
			*c.Usage, c.Err = a.Usage(ctx, now, c.Policy)
		default:
			c.Err = limiter.ErrInvalid
		}
		if c.Err == nil {
			last = max(last, lsn)
		}
	}
	return s.wait(ctx, last)
}
