package server

import (
	"context"
	"net/http"
	"strings"

	"github.com/sluice-mail/sluice/api/httpv1"
	"github.com/sluice-mail/sluice/limiter"
)

// Auth decides who calls, and what they may do. Its errors are an [httpv1.Problem] each: one of
// the kinds Unauthenticated, Forbidden, Overloaded and NotReady. It is asked before an account is
// looked up, so that no answer tells whether an account exists. It is safe for concurrent use.
type Auth interface {
	// Authenticate returns who holds a bearer token. It does not say what they may do.
	Authenticate(ctx context.Context, token string) (Caller, error)
	// Authorize returns nil if the caller has the right to do what the verb says to an account; to
	// all accounts of a namespace, if the account has no name; to all, if it has no namespace.
	Authorize(ctx context.Context, caller Caller, verb string, account limiter.Key) error
	// AuthorizeCalls sets the error of each call whose account the caller has no right to. It
	// leaves alone calls that have an error.
	AuthorizeCalls(ctx context.Context, caller Caller, verb string, calls []limiter.Call)
}

// Caller is who holds a token. It is an alias so that an Auth need not import this package.
type Caller = interface {
	// User is the name of the caller: system:serviceaccount:<namespace>:<name>.
	User() string
}

// right is what an operation needs the caller to have: a verb of RBAC, for the account that the
// path names. Empty is nothing: everybody may call.
type right = string

const (
	verbUse  right = "use"  // check, commit and release
	verbGet  right = "get"  // the usage of an account
	verbList right = "list" // the usage of all accounts
	// itsOwn has the operation look at rights by itself, and take a place then. Who calls is known.
	itsOwn right = "its own"
)

// maxTokenBytes is the longest token that is looked at. One of Kubernetes has 1 to 2 KiB.
const maxTokenBytes = 8 << 10

// authenticate finds out who sent a request. Without an Auth it does nothing.
func (s *Server) authenticate(q *request) (err error) {
	if s.auth == nil {
		return nil
	}
	token, err := bearerToken(q.http.Header)
	if err != nil {
		return err
	}
	q.caller, err = s.auth.Authenticate(q.http.Context(), token)
	return err
}

// authorize returns an error unless the caller has a right to an account. Without an Auth everybody
// has all rights.
func (s *Server) authorize(q *request, verb right, account limiter.Key) error {
	if s.auth == nil {
		return nil
	}
	return s.auth.Authorize(q.http.Context(), q.caller, verb, account)
}

// authorizeCalls sets the error of each call whose account the caller has no right to. That may
// take seconds, so the request keeps no place from others meanwhile.
func (s *Server) authorizeCalls(q *request, verb right, calls []limiter.Call) error {
	if s.auth == nil {
		return nil
	}
	q.leave()
	s.auth.AuthorizeCalls(q.http.Context(), q.caller, verb, calls)
	return q.admit()
}

// bearerToken returns the one bearer token of a request.
func bearerToken(h http.Header) (string, error) {
	values := h["Authorization"]
	if len(values) == 0 {
		return "", httpv1.Unauthenticated.Problem(
			"Send the token of a Kubernetes ServiceAccount, projected into the pod for the " +
				"audience of this Sluice: Authorization: Bearer <token>.")
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	token = strings.Trim(token, " ")
	if len(values) > 1 || !strings.EqualFold(scheme, "Bearer") || token == "" {
		return "", httpv1.Unauthenticated.Problem(
			"The Authorization header must be there once, as: Bearer <token>.")
	}
	if len(token) > maxTokenBytes {
		return "", httpv1.Unauthenticated.Problem(
			"The token is longer than any that Kubernetes issues.")
	}
	return token, nil
}

// guarded returns what serves a route to callers who have the right to it. Others take no place
// among the requests in flight, but for the time in which a batch is decoded.
func (r route) guarded() endpoint {
	if r.needs == "" {
		return r.serve
	}
	return func(s *Server, q *request, resp *response) error {
		if err := s.authenticate(q); err != nil {
			return err
		}
		if r.needs != itsOwn {
			if err := s.authorize(q, r.needs, q.account); err != nil {
				return err
			}
		}
		readsBody := r.inputs.body != nil && q.http.ContentLength != 0
		if err := q.enter(readsBody || r.needs == itsOwn); err != nil {
			return err
		}
		return r.serve(s, q, resp)
	}
}
