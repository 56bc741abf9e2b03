package limiter

import "errors"

// Why a call was refused. All are returned as they are, never wrapped.
var (
	// ErrNotLoaded: the limits are not all known yet, so nothing can be said of any account. See
	// [Limiter.MarkLoaded].
	ErrNotLoaded = errors.New("limits are not loaded yet")
	// ErrAccountNotFound: there is no such account.
	ErrAccountNotFound = errors.New("account not found")
	// ErrReservationNotFound: a release named an id that this account does not know, or none was
	// outstanding.
	ErrReservationNotFound = errors.New("reservation not found")
	// ErrReservationEnded: a check or a release named a reservation that was committed, expired or,
	// for a check, released.
	ErrReservationEnded = errors.New("reservation has already ended")
	// ErrReservationCost: a check repeated the id of an outstanding reservation with another cost.
	ErrReservationCost = errors.New("reservation is held with another cost")
	// ErrCostExceedsLimit: the cost is larger than the smallest limit, so no wait would help.
	ErrCostExceedsLimit = errors.New("cost exceeds the limit")
	// ErrDraining: a check came after [Limiter.Drain].
	ErrDraining = errors.New("no check is admitted any more")
	// ErrOverloaded: the bound on outstanding reservations, over all accounts, is reached.
	ErrOverloaded = errors.New("too many outstanding reservations")
	// ErrAccountOverloaded: the account holds as many outstanding reservations as one account may.
	ErrAccountOverloaded = errors.New("the account has too many outstanding reservations")
	// ErrStoreUnavailable: the store cannot keep what the call would change, or did not answer in
	// time. Whether the call took effect is not known; repeating it with the same id is safe.
	ErrStoreUnavailable = errors.New("the store is unavailable")
	// ErrInvalid: an empty id, a cost outside 1..MaxCost, or a TTL that is not positive.
	ErrInvalid = errors.New("invalid request")
)
