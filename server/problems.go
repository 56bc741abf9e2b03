package server

import (
	"errors"

	"github.com/sluice-mail/sluice/api/httpv1"
	"github.com/sluice-mail/sluice/limiter"
)

// problems tells which problem each error of the limiter or of reading a request is, and what the
// caller can do.
var problems = []struct {
	err    error
	kind   httpv1.ProblemKind
	detail string
}{
	{errMediaType, httpv1.UnsupportedMediaType,
		"Send JSON, without a content encoding, and say so: Content-Type: application/json."},
	{limiter.ErrNotLoaded, httpv1.NotReady,
		"Sluice has just started and is loading the MailAccounts. " +
			"Do not send; ask again in a second."},
	{limiter.ErrDraining, httpv1.NotReady,
		"This replica of Sluice is stopping. Do not send; ask again in a second."},
	{limiter.ErrAccountNotFound, httpv1.AccountNotFound,
		"Check the namespace and the name, or create the MailAccount."},
	{limiter.ErrReservationNotFound, httpv1.ReservationNotFound,
		"No such reservation is outstanding for this account: it was never made, or it ended so " +
			"long ago that it is forgotten. There is nothing to free."},
	{limiter.ErrReservationEnded, httpv1.ReservationConflict,
		"The reservation was committed or released, or its deadline passed, or Sluice was killed " +
			"since and cannot tell. " +
			"A check needs an id of its own for each attempt to send, such as <id>/2 for the " +
			"second; a release cannot free what counts as sent."},
	{limiter.ErrReservationCost, httpv1.ReservationConflict,
		"The id is held by a reservation with another cost. Repeat the check with that cost, " +
			"or use an id of its own for another attempt to send, such as <id>/2."},
	{limiter.ErrCostExceedsLimit, httpv1.CostExceedsLimit,
		"The cost is larger than a limit of this account, so that no waiting helps. " +
			"Split the message, or raise the limit."},
	{limiter.ErrOverloaded, httpv1.Overloaded,
		"Commit or release what is outstanding, ask with a shorter ttlSeconds, " +
			"or raise --max-reservations."},
	{limiter.ErrAccountOverloaded, httpv1.Overloaded,
		"This account holds as many reservations as one account may. " +
			"Commit or release what is outstanding, ask with a shorter ttlSeconds, " +
			"or raise --max-reservations-per-account."},
	{limiter.ErrStoreUnavailable, httpv1.StoreUnavailable,
		"Sluice cannot write down at the moment what it would allow: the disk of its journal is " +
			"full, slow or broken, or its Redis cannot be relied on. " +
			"Do not send; repeat the call with the same id in a second."},
	{errInFlight, httpv1.Overloaded,
		"Sluice has more requests than it can work on. " +
			"Do not send; repeat the call with the same id in a second."},
	{errBodies, httpv1.Overloaded,
		"Sluice is receiving too many bytes of batches at a time. Ask again in a second; " +
			"batches of up to 16 KiB and single calls need not wait."},
	{errResponses, httpv1.Overloaded,
		"Sluice is answering too many batches and lists at a time. " +
			"Ask again in a second, for fewer items; single calls need not wait."},
}

// problemOf returns the problem that an error is told as, or nil for an error that nobody expected.
func problemOf(err error) *httpv1.Problem {
	if p := (*httpv1.Problem)(nil); errors.As(err, &p) {
		return p
	}
	if s := (*httpv1.SyntaxError)(nil); errors.As(err, &s) {
		return httpv1.MalformedRequest.Problem(s.Error() + ".")
	}
	for _, p := range problems {
		if errors.Is(err, p.err) {
			return p.kind.Problem(p.detail)
		}
	}
	return nil
}
