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
	reply   answer
}

// round makes calls of one verb, again as long as some have to be repeated.
func (s *Store) round(ctx context.Context, now limiter.Instant, calls []limiter.AccountCall) {
	within, cancel := context.WithTimeout(ctx, s.options.Timeout)
	defer cancel()
	if checks := int64(len(calls)); calls[0].Verb == limiter.ToCheck {
		s.held.pending.Add(checks)
		defer s.held.pending.Add(-checks)
	}
	todo := s.begin(now, calls)
	if s.running.Add(1) > maxRunning { // a pipeline waits in one place
		fail(todo, s.unavailable(errTooMany))
		todo = nil
	}
	defer s.running.Add(-1)
	asked := s.clock.elapsed()
	for unknown := false; len(todo) > 0; {
		state, err := s.health.await(within)
		if err != nil {
			fail(todo, s.unavailable(err))
			return
		}
		var done []pending
		done, todo, unknown = s.trip(ctx, within, todo, unknown)
		if s.health.state() != state { // the server may have been replaced meanwhile
			todo = append(done, todo...)
			continue
		}
		for i := range done {
			if one := &done[i]; !s.options.TimeOfCalls {
				one.reply.asked = one.reply.called - int64(s.clock.elapsed()-asked)
			}
			done[i].answer()
		}
	}
}

// fail answers calls that cannot be made, and has those made later that must be.
func fail(calls []pending, err error) {
	for i := range calls {
		calls[i].fail(err)
	}
}

func (p *pending) fail(err error) {
	p.Err = err
	if err != limiter.ErrStoreUnavailable { //nolint:errorlint // it is never wrapped
		return
	}
	switch p.Verb {
	case limiter.ToCheck:
		p.account.doubt(&p.call, p.Ask)
	case limiter.ToCommit, limiter.ToRelease:
		p.account.later(p.Verb, p.Ask.ID, p.Ask.Cost)
	case limiter.ToUsage: // it has changed nothing
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
			if c.Decision, ok = a.deniedAgain(now, p, c.Ask); ok {
				continue
			}
			s.late.cancel(a, c.Ask.ID)
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

// trip makes one round trip, within a context that ends before the caller's. It returns the calls
// that got an answer, and those that have to be repeated. Unknown says that some server did not
// know the script: then the first call brings it. In a cluster that helps one node, and the next
// repetition the next.
func (s *Store) trip(
	ctx, within context.Context, todo []pending, unknown bool,
) (done, again []pending, stillUnknown bool) {
	client, err := s.link.get()
	if err != nil {
		fail(todo, s.failed(ctx, err))
		return nil, nil, false
	}
	sent, commands := todo[:0], make([]valkey.Completed, 0, len(todo))
	for i := range todo {
		one := &todo[i]
		epoch, err := s.epochOf(within, client, one.account)
		if err != nil {
			one.fail(s.failed(ctx, err))
			continue
		}
		one.call.sent = true
		command := one.account.byHash
		if len(commands) == 0 && unknown {
			command = one.account.inFull
		}
		commands = append(commands, command(client, &one.call, epoch))
		sent = append(sent, *one)
	}
	var missing []pending // those that a server did not know come first, then the others
	broken := false
	for i, result := range s.exchange(within, client, sent, commands) {
		one := sent[i]
		if isNoScript(result.err) {
			missing = append(missing, one)
			continue
		}
		if passing(result.err) && (broken || pause(within, 1)) {
			again, broken = append(again, one), true
			continue
		}
		if result.err != nil {
			one.fail(s.failed(ctx, result.err))
			continue
		}
		if one.reply, err = one.account.read(result.raw, &one.call); err != nil {
			one.fail(err)
		} else if one.reply.status == statusAgain {
			again = append(again, one)
		} else {
			done = append(done, one)
		}
	}
	return done, append(missing, again...), len(missing) > 0
}

// exchange sends commands together.
func (s *Store) exchange(
	ctx context.Context, client valkey.Client, calls []pending, commands []valkey.Completed,
) []valkeyReply {
	replies := make([]valkeyReply, len(commands))
	if s.waiter == nil {
		for i, result := range client.DoMulti(ctx, commands...) {
			replies[i].raw, replies[i].err = result.AsBytes()
		}
		return replies
	}
	results := make([]chan valkeyReply, len(commands))
	for i, command := range commands {
		results[i] = s.waiter.start(ctx, client, calls[i].account.namespace, command)
	}
	for i, result := range results {
		select {
		case replies[i] = <-result:
		case <-ctx.Done():
			replies[i].err = ctx.Err()
		}
	}
	return replies
}

// answer writes the answer to the call.
func (p *pending) answer() {
	switch p.Verb {
	case limiter.ToCheck:
		p.Decision, p.Err = p.account.decision(p.reply, &p.call, p.policy, p.Ask)
	case limiter.ToUsage:
		*p.Usage, p.Err = p.account.usage(p.reply, p.policy)
	default:
		p.Outcome, p.Err = p.account.outcome(p.reply)
	}
}
