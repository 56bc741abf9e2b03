package sluice

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/sluice-mail/sluice/api/httpv1"
)

// The problems that Sluice answers, for errors.Is: one for each kind of package httpv1. errors.As
// finds the *httpv1.Problem itself, whose Detail says what to do. A problem of a kind that is not
// here, as a later Sluice may have it, is a *httpv1.Problem alone.
var (
	ErrMalformedRequest     = kindError(httpv1.MalformedRequest)
	ErrUnauthenticated      = kindError(httpv1.Unauthenticated)
	ErrForbidden            = kindError(httpv1.Forbidden)
	ErrAccountNotFound      = kindError(httpv1.AccountNotFound)
	ErrReservationNotFound  = kindError(httpv1.ReservationNotFound)
	ErrPathNotFound         = kindError(httpv1.PathNotFound)
	ErrMethodNotAllowed     = kindError(httpv1.MethodNotAllowed)
	ErrReservationConflict  = kindError(httpv1.ReservationConflict)
	ErrBodyTooLarge         = kindError(httpv1.BodyTooLarge)
	ErrUnsupportedMediaType = kindError(httpv1.UnsupportedMediaType)
	ErrInvalidField         = kindError(httpv1.InvalidField)
	ErrCostExceedsLimit     = kindError(httpv1.CostExceedsLimit)
	ErrInternal             = kindError(httpv1.InternalError)
	ErrNotReady             = kindError(httpv1.NotReady)
	ErrStoreUnavailable     = kindError(httpv1.StoreUnavailable)
	ErrOverloaded           = kindError(httpv1.Overloaded)
)

// The errors where Sluice said nothing.
var (
	// ErrNoAnswer is for a call without an answer: there was no connection, or it broke, or the
	// answer did not come in time. The error wraps the transport's. Whether Sluice did what was
	// asked is unknown.
	ErrNoAnswer = errors.New("there was no answer")
	// ErrUnreadable is for an answer with status 200 that is none to the call.
	ErrUnreadable = errors.New("the answer cannot be read")
)

// kind is a kind of problem as an error, without a detail.
type kind struct{ httpv1.ProblemKind }

func kindError(k httpv1.ProblemKind) error { return kind{k} }

func (k kind) Error() string { return k.Title }

// problemError is a problem that errors.Is knows by its kind.
type problemError struct{ *httpv1.Problem }

func (e problemError) Is(target error) bool {
	k, ok := target.(kind)
	return ok && e.Type == httpv1.ProblemBase+k.Name
}

func (e problemError) Unwrap() error { return e.Problem }

// ProblemError makes an error of the Problem of a batch's item, so that errors.Is knows its kind.
// It is nil for an item without a problem.
func ProblemError(p *httpv1.Problem) error {
	if p == nil {
		return nil
	}
	return problemError{p}
}

// StatusError is an answer that is not Sluice's, such as the 502 of a proxy or a redirect.
type StatusError struct {
	// Status is the HTTP status.
	Status int
	// Excerpt is the beginning of the body, at most httpv1.MaxExcerpt characters.
	Excerpt string
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("the answer is not Sluice's: %d %s: %q",
		e.Status, http.StatusText(e.Status), e.Excerpt)
}
