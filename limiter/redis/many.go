package redis

import (
	"context"

	"github.com/valkey-io/valkey-go"

	"github.com/sluice-mail/sluice/limiter"
)

// Do implements [limiter.BatchStore]: calls of one verb that follow each other are one round trip,
// to each node of a cluster. The timeout bounds each such round. A call that gets no answer has
// [limiter.ErrStoreUnavailable], as it would have alone; Do itself returns no error.
//
// The scripts of a pipeline run in its order. But one that the server did not know, or that found
// more reservations due than it may expire, has done nothing of its own yet, and is repeated when
// later ones of its account have run. So calls of one verb on one account may then happen in
// another order, at the same instant: each answer is still a true one, as if the callers had raced.
// Between verbs that would not do: a commit before its check makes the check fail. So the next verb
// waits until all calls of the one before are done.
func (s *Store) Do(ctx context.Context, now limiter.Instant, calls []limiter.AccountCall) error {
	for len(calls) > 0 {
		n := 1
		for n < len(calls) && calls[n].Verb == calls[0].Verb {
			n++
		}
		s.round(ctx, now, calls[:n])
		calls = calls[n:]
	}
	return nil
}

// pending is a call that has no answer yet.
type pending struct {
	limiter.AccountCall
	account *account
	policy  *limiter.Policy
	call    call
}

// round makes calls of one verb, again as long as some have to be repeated.
func (s *Store) round(ctx context.Context, now limiter.Instant, calls []limiter.AccountCall) {
	ctx, cancel := context.WithTimeout(ctx, s.options.Timeout)
	defer cancel()
	if checks := int64(len(calls)); calls[0].Verb == limiter.ToCheck {
		s.held.pending.Add(checks)
		defer s.held.pending.Add(-checks)
	}
	at := s.timeArgument(now)
	todo := s.begin(now, calls)
	for unknown := false; len(todo) > 0; {
		todo, unknown = s.send(ctx, todo, at, unknown)
	}
}

// begin makes script calls of those that can be made.
func (s *Store) begin(now limiter.Instant, calls []limiter.AccountCall) []pending {
	todo := make([]pending, 0, len(calls))
	// The checks of this round that come before one on another account may have become
	// reservations. Those on the same account are counted there.
	others := s.held.pending.Load() - int64(len(calls))
	checks, ofAccount := int64(0), map[*account]int64{}
	for _, c := range calls {
		a, ok := c.Account.(*account)
		p := c.Policy.Load()
		if !ok || p == nil || a.isClosed() {
			c.Err = limiter.ErrAccountNotFound
			continue
		}
		one := pending{AccountCall: c, account: a, policy: p}
		switch c.Verb {
		case limiter.ToCheck:
			one.call = a.checkCall(now, p, c.Ask, others+checks-ofAccount[a])
			checks++
			ofAccount[a]++
		case limiter.ToCommit:
			one.call = a.commitCall(now, c.Ask.ID, c.Ask.Cost)
		case limiter.ToRelease:
			one.call = a.releaseCall(now, c.Ask.ID)
		case limiter.ToUsage:
			one.call = a.usageCall(now, p)
		default:
			c.Err = limiter.ErrInvalid
			continue
		}
		todo = append(todo, one)
	}
	return todo
}

// send makes one round trip, and returns the calls that have to be repeated. Unknown says that some
// server did not know the script: then the first call brings it. In a cluster that helps one node,
// and the next repetition the next.
func (s *Store) send(
	ctx context.Context, todo []pending, at string, unknown bool,
) (again []pending, stillUnknown bool) {
	commands := make([]valkey.Completed, len(todo))
	for i := range todo {
		one := &todo[i]
		if i == 0 && unknown {
			commands[i] = s.inFull(one.account.keys[:], &one.call, at)
			continue
		}
		commands[i] = s.byHash(one.account.keys[:], &one.call, at)
	}
	var missing []pending // those that a server did not know come first, then the others
	for i, result := range s.client.DoMulti(ctx, commands...) {
		one := &todo[i]
		raw, err := result.AsBytes()
		if isNoScript(err) {
			missing = append(missing, *one)
			continue
		}
		if err != nil {
			one.Err = s.unavailable(err)
			continue
		}
		reply, err := one.account.read(raw, one.call.now, at)
		switch {
		case err != nil:
			one.Err = err
		case reply.status == statusAgain:
			again = append(again, *one)
		default:
			one.answer(reply)
		}
	}
	return append(missing, again...), len(missing) > 0
}

// answer writes the answer to the call.
func (p *pending) answer(reply answer) {
	switch p.Verb {
	case limiter.ToCheck:
		p.Decision, p.Err = p.account.decision(reply, p.call.now, p.policy, p.Ask)
	case limiter.ToUsage:
		*p.Usage, p.Err = p.account.usage(reply, p.policy)
	default:
		p.Outcome, p.Err = p.account.outcome(reply)
	}
}
