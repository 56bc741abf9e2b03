package kubeauth

import (
	"time"

	"github.com/sluice-mail/sluice/limiter"
)

// NewAt returns an Auth that reads another clock.
func NewAt(o Options, clock func() time.Time) (*Auth, error) { return newAuth(o, clock) }

// Remembered returns how many tokens are remembered.
func (a *Auth) Remembered() int { return a.tokens.size() }

// Flying reports whether a TokenReview of a verified token is in flight.
func (a *Auth) Flying() bool {
	if !a.verified.slots.TryAcquire(verifiedInFlight) {
		return true
	}
	a.verified.slots.Release(verifiedInFlight)
	return false
}

// Learn has a caller have a right, as if it had been reviewed.
func (a *Auth) Learn(caller Caller, verb string, account limiter.Key) {
	caller.(*subject).learn(about(verb, account), true, a.clock())
}

// ReviewLate does what a caller does who missed an answer just before it came.
func (a *Auth) ReviewLate(token string, caller Caller, verb string, account limiter.Key) {
	c, _ := parseClaims(token)
	<-a.startTokenReview(a.tokens.digest(token), token, c, false)
	<-a.startRightReview(caller.(*subject), about(verb, account).wide())
}
