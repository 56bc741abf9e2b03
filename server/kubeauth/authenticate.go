package kubeauth

import (
	"context"
	"errors"
	"hash/maphash"
	"strings"
	"time"

	"golang.org/x/sync/singleflight"
	"golang.org/x/time/rate"
)

// How many TokenReviews are in flight: of verified tokens, of those of one ServiceAccount (or of a
// few that share a stripe), and of tokens that only the API server can verify. These are also
// bounded by the second, so that forgeries cannot make the API server busy.
const (
	verifiedInFlight    = 32
	verifiedOfOne       = 8
	verifiedWaiting     = 256
	unverifiedInFlight  = 2
	unverifiedWaiting   = 32
	unverifiedPerSecond = 20
	unverifiedBurst     = 40
)

// How many tokens of one ServiceAccount are reviewed that were not accepted before: in the time
// that a token is used, fewer than what the cache has room for. See docs/design/0023.
const (
	freshPerSecond = 100
	freshBurst     = 4000
)

// serviceAccountPrefix begins the names of ServiceAccounts. No other user has such a name.
const serviceAccountPrefix = "system:serviceaccount:"

// tokenShares are the shares that tokens have of the lanes.
type tokenShares struct {
	seed       maphash.Seed
	verified   [64]share // by the hash of the ServiceAccount
	unverified share
	rate       *rate.Limiter
	fresh      *limiters
}

func (t *tokenShares) init() {
	t.seed = maphash.MakeSeed()
	for i := range t.verified {
		t.verified[i].init(verifiedOfOne, verifiedWaiting)
	}
	t.unverified.init(unverifiedInFlight, unverifiedWaiting)
	t.rate = rate.NewLimiter(unverifiedPerSecond, unverifiedBurst)
	t.fresh = newLimiters(freshPerSecond, freshBurst)
}

func (t *tokenShares) of(serviceAccount string) *share {
	return &t.verified[maphash.String(t.seed, serviceAccount)%uint64(len(t.verified))]
}

// Authenticate returns who holds a bearer token. It does not say what they may do.
func (a *Auth) Authenticate(ctx context.Context, token string) (Caller, error) {
	if len(token) > maxTokenBytes {
		a.metrics.refused(reasonMalformed)
		return nil, problemMalformed
	}
	now := a.clock()
	d := a.tokens.digest(token)
	id, problem := a.tokens.get(d, now)
	switch {
	case problem != nil:
		a.metrics.tokens.hits.Inc()
		return nil, problem
	case id != nil && id.isFresh(now):
		a.metrics.tokens.hits.Inc()
		if id.isDue(now) && id.refresh.claim(now) && a.api.tokens.breaker.answers() {
			if c, ok := parseClaims(token); ok {
				a.startTokenReview(d, token, c, true)
			}
		}
		return id.subject, nil
	}
	a.metrics.tokens.misses.Inc()
	s, err := a.identify(ctx, now, d, token, id)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// identify has a token reviewed. While the API server is unavailable, what it said before is used,
// if that is not too long ago.
func (a *Auth) identify(
	ctx context.Context, now time.Time, d digest, token string, before *identity,
) (*subject, error) {
	b := a.api.tokens.breaker
	usable := before != nil && before.isUsable(now)
	if usable && b.blocks() {
		a.metrics.tokens.stale.Inc()
		return before.subject, nil
	}
	c, ok := parseClaims(token)
	if !ok {
		a.metrics.refused(reasonMalformed)
		return nil, problemMalformed
	}
	if reason, problem := c.refusal(now, a.audience); problem != nil {
		a.metrics.refused(reason)
		return nil, problem
	}
	answers := b.answers()
	flight := a.startTokenReview(d, token, c, before != nil)
	if usable && !answers {
		a.metrics.tokens.stale.Inc()
		return before.subject, nil
	}
	s, err := wait[*subject](ctx, flight, b, problemShedToken)
	if usable && isUnavailable(err) {
		a.metrics.tokens.stale.Inc()
		return before.subject, nil
	}
	return s, err
}

// wait waits for a flight, for a few seconds at most. The flight goes on. The error is shed if the
// API server answers, and what takes long is the queue before it.
func wait[T any](
	ctx context.Context, flight <-chan singleflight.Result, b *breaker, shed error,
) (none T, _ error) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case r := <-flight:
		if r.Err != nil {
			return none, r.Err
		}
		return r.Val.(T), nil
	case <-timer.C:
	case <-ctx.Done():
	}
	if b.answers() && b.everAnswered() {
		return none, shed
	}
	return none, problemUnavailable
}

// startTokenReview has a token reviewed in the background, once for all who ask meanwhile. A token
// that the API server accepted before needs no other proof that it is worth a review.
func (a *Auth) startTokenReview(
	d digest, token string, c claims, accepted bool,
) <-chan singleflight.Result {
	token = strings.Clone(token) // it may be a piece of all headers of a request
	return a.tokenFlights.DoChan(string(d[:]), func() (any, error) {
		ctx, cancel := context.WithTimeout(context.Background(), reviewFor)
		defer cancel()
		s, err := a.reviewToken(ctx, d, token, c, accepted)
		if errors.Is(err, errShed) {
			a.metrics.tokens.shed.Inc()
			err = problemShedToken
		}
		return s, err
	})
}

// reviewToken is one flight.
func (a *Auth) reviewToken(
	ctx context.Context, d digest, token string, c claims, accepted bool,
) (*subject, error) {
	now := a.clock()
	id, problem := a.tokens.get(d, now)
	switch {
	case problem != nil:
		return nil, problem
	case id != nil && id.isFresh(now) && !id.isDue(now): // another flight just ended
		return id.subject, nil
	}
	release, err := a.admit(ctx, now, d, token, c, accepted)
	if err != nil {
		return nil, err
	}
	defer release()
	asked := a.clock()
	user, err := a.api.reviewToken(ctx, token)
	if err != nil {
		return nil, err
	}
	switch {
	case user == nil:
		problem = problemUnknown
	case !strings.HasPrefix(user.Username, serviceAccountPrefix):
		problem = problemNoServiceAccount
	}
	if problem != nil {
		a.tokens.refuse(d, problem, a.clock())
		return nil, problem
	}
	s := a.subjects.of(user, asked)
	a.tokens.accept(d, &identity{subject: s, expires: c.Expires.time(), asked: asked})
	return s, nil
}

// admit decides whether a token is worth a review, and waits until it may be made.
func (a *Auth) admit(
	ctx context.Context, now time.Time, d digest, token string, c claims, accepted bool,
) (release func(), _ error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	v := genuine
	if !accepted {
		var err error
		if v, err = a.keys.verify(ctx, token); err != nil {
			return nil, err
		}
	}
	switch {
	case v == forged:
		a.metrics.refused(reasonForged)
		a.tokens.refuse(d, problemForged, now)
		return nil, problemForged
	case a.api.tokens.breaker.blocks():
		return nil, problemUnavailable
	case v == genuine && !accepted && !a.shares.fresh.allows(c.Subject, now):
		return nil, errShed
	case v == genuine:
		return a.verified.acquire(ctx, a.shares.of(c.Subject))
	case !a.shares.rate.AllowN(now, 1):
		return nil, errShed
	}
	return a.unverified.acquire(ctx, &a.shares.unverified)
}
