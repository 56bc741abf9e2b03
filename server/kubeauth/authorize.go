package kubeauth

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/singleflight"

	"github.com/sluice-mail/sluice/api/httpv1"
	"github.com/sluice-mail/sluice/limiter"
)

// askersOfBatch is how many questions of a batch are asked at a time.
const askersOfBatch = 2 * rightsOfOne

// Authorize returns nil if the caller has the right to do what the verb says to an account; to all
// accounts of a namespace, if the account has no name; to all, if it has no namespace. It does not
// know whether the account exists.
func (a *Auth) Authorize(
	ctx context.Context, caller Caller, verb string, account limiter.Key,
) error {
	s, ok := caller.(*subject)
	if !ok {
		return problemUnknown
	}
	now := a.clock()
	s = a.subjects.current(s, now)
	k := s.known(about(verb, account), now)
	if problem, ok := a.answered(s, k, verb, account, now); !ok {
		return a.ask(ctx, s, k, verb, account, now)
	} else if problem != nil {
		return problem
	}
	return nil
}

// AuthorizeCalls sets the error of each call whose account the caller has no right to. It leaves
// alone calls that have an error.
func (a *Auth) AuthorizeCalls(
	ctx context.Context, caller Caller, verb string, calls []limiter.Call,
) {
	s, ok := caller.(*subject)
	now := a.clock()
	if ok {
		s = a.subjects.current(s, now)
	}
	var open map[limiter.Key][]int // the calls on accounts that must be asked about
	for i := range calls {
		c := &calls[i]
		if c.Err != nil {
			continue
		}
		if !ok {
			c.Err = problemUnknown
			continue
		}
		problem, known := a.answered(s, s.known(about(verb, c.Key), now), verb, c.Key, now)
		switch {
		case !known:
			if open == nil {
				open = map[limiter.Key][]int{}
			}
			open[c.Key] = append(open[c.Key], i)
		case problem != nil:
			c.Err = problem
		}
	}
	if len(open) > 0 {
		a.askAll(ctx, s, verb, calls, open)
	}
}

// askAll asks about the accounts of a batch, a few at a time, and not for longer than about one.
func (a *Auth) askAll(
	ctx context.Context, s *subject, verb string, calls []limiter.Call, open map[limiter.Key][]int,
) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	defer s.batches.Add(-1)
	if s.batches.Add(1) > batchesOfOne {
		cancel() // it waits for nothing
	}
	var askers errgroup.Group
	askers.SetLimit(askersOfBatch)
	for account, at := range open {
		askers.Go(func() error {
			if err := a.Authorize(ctx, s, verb, account); err != nil {
				for _, i := range at {
					calls[i].Err = err
				}
			}
			return nil
		})
	}
	_ = askers.Wait() // none returns an error
}

// answered reports whether what is known answers a question, and returns the problem if it does
// with no.
func (a *Auth) answered(
	s *subject, k known, verb string, account limiter.Key, now time.Time,
) (problem *httpv1.Problem, ok bool) {
	switch {
	case k.allow != nil && k.allow.isFresh(now):
		a.metrics.rights.hits.Inc()
		if k.allow.isDue(now) && k.allow.refresh.claim(now) && a.api.rights.breaker.answers() {
			a.startRightReview(s, k.allowed)
		}
		return nil, true
	case k.denied:
		a.metrics.rights.hits.Inc()
		return forbidden(s, verb, account), true
	}
	return nil, false
}

// ask has a right reviewed. While the API server is unavailable, a right that it knew of before is
// used, if that is not too long ago.
func (a *Auth) ask(
	ctx context.Context, s *subject, k known, verb string, account limiter.Key, now time.Time,
) error {
	a.metrics.rights.misses.Inc()
	usable := k.allow != nil && k.allow.isUsable(now)
	b := a.api.rights.breaker
	if usable && !b.answers() {
		if !b.blocks() {
			a.startRightReview(s, k.allowed)
		}
		a.metrics.rights.stale.Inc()
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	allowed, err := a.askAbout(ctx, s, k, about(verb, account))
	switch {
	case usable && isUnavailable(err) && s.mayHave(about(verb, account), now):
		a.metrics.rights.stale.Inc()
		return nil
	case err != nil:
		return err
	case !allowed:
		return forbidden(s, verb, account)
	}
	return nil
}

// askAbout asks about all accounts of the namespace first, so that little must be remembered, and
// by name only if the answer is no. A name that no account can have is not asked about.
func (a *Auth) askAbout(
	ctx context.Context, s *subject, k known, q question,
) (allowed bool, err error) {
	if q.namespace != "" && !isNamespace(q.namespace) {
		q = question{verb: q.verb} // as no namespace is called so: a right to all of them
	}
	if !k.wideDenied {
		allowed, err := a.waitForRight(ctx, s, q.wide())
		if allowed || err != nil {
			return allowed, err
		}
	}
	if q.name == "" || !isName(q.name) {
		return false, nil
	}
	return a.waitForRight(ctx, s, q)
}

// waitForRight has one right reviewed, and waits for the answer.
func (a *Auth) waitForRight(ctx context.Context, s *subject, q question) (bool, error) {
	if ctx.Err() != nil { // the rest of a batch that took too long
		return false, problemShedRights
	}
	flight := a.startRightReview(s, q)
	return wait[bool](ctx, flight, a.api.rights.breaker, problemShedRights)
}

// startRightReview has a right reviewed in the background, once for all who ask meanwhile.
func (a *Auth) startRightReview(s *subject, q question) <-chan singleflight.Result {
	return s.flights.DoChan(q.String(), func() (any, error) {
		ctx, cancel := context.WithTimeout(context.Background(), reviewFor)
		defer cancel()
		allowed, err := a.reviewRight(ctx, s, q)
		if errors.Is(err, errShed) {
			a.metrics.rights.shed.Inc()
			err = problemShedRights
		}
		return allowed, err
	})
}

// reviewRight is one flight.
func (a *Auth) reviewRight(ctx context.Context, s *subject, q question) (bool, error) {
	if allowed, ok := s.justLearned(q, a.clock()); ok { // another flight just ended
		return allowed, nil
	}
	if a.api.rights.breaker.blocks() {
		return false, problemUnavailable
	}
	release, err := a.admitRight(ctx, s)
	if err != nil {
		return false, err
	}
	defer release()
	asked := a.clock()
	allowed, err := a.api.reviewRight(ctx, s, q)
	if err != nil {
		return false, err
	}
	s.learn(q, allowed, asked)
	a.subjects.trim()
	return allowed, nil
}

// admitRight waits until a subject may have a right reviewed.
func (a *Auth) admitRight(ctx context.Context, s *subject) (release func(), _ error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	now := a.clock()
	turn := s.rate.ReserveN(now, 1)
	delay := turn.DelayFrom(now)
	if delay > patience {
		turn.CancelAt(now)
		return nil, errShed
	}
	if delay > 0 {
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			return nil, errShed
		}
	}
	return a.rights.acquire(ctx, &s.share)
}
