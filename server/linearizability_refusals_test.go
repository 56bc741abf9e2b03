package server_test

import (
	"testing"

	"github.com/anishathalye/porcupine"

	"github.com/sluice-mail/sluice/api/httpv1"
	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/limitertest"
)

// none is the response to apply and purge: there is none.
var none modelResponse

// took is a call of some caller, with the times when it began and ended, and its response.
func took(from, to int64, c call, s modelResponse) porcupine.Operation {
	return porcupine.Operation{ClientId: int(from), Input: c, Output: s, Call: from, Return: to}
}

func limitOf(n int64) call {
	return call{verb: "apply", policy: limiter.Policy{Limits: limitertest.Limits(n, 0, 0)}}
}

func about(verb, id string) call { return call{verb: verb, id: id} }

func allow(id string, remaining int64) modelResponse {
	return modelResponse{
		status: 200, decision: httpv1.Allow, id: id, cost: 1, limited: true, remaining: remaining,
	}
}

func deny(limit, used, inFlight int64) modelResponse {
	return modelResponse{status: 200, decision: httpv1.Defer, waits: true,
		windows: [3]modelWindow{
			{listed: true, waits: true, limit: limit, used: used, inFlight: inFlight},
		}}
}

func ended(outcome string) modelResponse { return modelResponse{status: 200, outcome: outcome} }

func uses(limit, used, inFlight int64) modelResponse {
	full := used+inFlight >= limit
	minute := modelWindow{
		listed: true, waits: full, limit: limit, used: used, remaining: max(0, limit-used-inFlight),
	}
	other := modelWindow{listed: true, used: used}
	return modelResponse{
		status: 200, decision: httpv1.Defer, inFlight: inFlight, waits: full,
		windows: [3]modelWindow{minute, other, other},
	}
}

// TestWhatHasNoOrder checks histories that the model must accept, and the same histories with one
// response changed, which it must refuse: a model that accepts everything proves nothing.
func TestWhatHasNoOrder(t *testing.T) {
	for name, c := range map[string]struct {
		history  []porcupine.Operation
		changed  int
		response modelResponse
	}{
		"two at once at a limit of 1": {
			[]porcupine.Operation{
				took(0, 1, limitOf(1), none), took(2, 5, about("check", "a"), deny(1, 0, 1)),
				took(3, 4, about("check", "b"), allow("b", 0)),
			},
			1, allow("a", 0),
		},
		"two at once that both see the same room": {
			[]porcupine.Operation{
				took(0, 1, limitOf(3), none), took(2, 5, about("check", "a"), allow("a", 1)),
				took(3, 4, about("check", "b"), allow("b", 2)),
			},
			1, allow("a", 2),
		},
		"a response that knows of a call after it": {
			[]porcupine.Operation{
				took(0, 1, limitOf(3), none), took(2, 3, about("check", "a"), allow("a", 2)),
				took(4, 5, about("check", "b"), allow("b", 1)),
			},
			1, allow("a", 1),
		},
		"a usage that does not know of a commit before it": {
			[]porcupine.Operation{
				took(0, 1, limitOf(3), none),
				took(2, 3, about("commit", "a"), ended(httpv1.Unreserved)),
				took(4, 5, about("usage", ""), uses(3, 1, 0)),
			},
			2, uses(3, 0, 0),
		},
		"a commit that counts twice": {[]porcupine.Operation{
			took(0, 1, limitOf(3), none), took(2, 3, about("check", "a"), allow("a", 2)),
			took(4, 7, about("commit", "a"), ended(httpv1.Committed)),
			took(5, 6, about("commit", "a"), ended(httpv1.Committed)),
			took(8, 9, about("usage", ""), uses(3, 1, 0))},
			4, uses(3, 2, 0)},
		"a slot that is free while it is held": {
			[]porcupine.Operation{
				took(0, 1, limitOf(3), none), took(2, 3, about("check", "a"), allow("a", 2)),
				took(4, 7, about("commit", "a"), ended(httpv1.Committed)),
				took(5, 6, about("usage", ""), uses(3, 0, 1)),
			},
			3, uses(3, 0, 0),
		},
		"a release of what was committed": {
			[]porcupine.Operation{
				took(0, 1, limitOf(3), none), took(2, 3, about("check", "a"), allow("a", 2)),
				took(4, 7, about("release", "a"), problem(httpv1.ReservationConflict)),
				took(5, 6, about("commit", "a"), ended(httpv1.Committed)),
			},
			2, ended(httpv1.Released),
		},
		"a commit and a release that both end the oldest": {
			[]porcupine.Operation{
				took(0, 1, limitOf(3), none), took(2, 3, about("check", "a"), allow("a", 2)),
				took(4, 7, about("release", ""), problem(httpv1.ReservationNotFound)),
				took(5, 6, about("commit", ""), ended(httpv1.Committed)),
			},
			2, ended(httpv1.Released),
		},
		"a limit that is seen, and then the one before it": {
			[]porcupine.Operation{
				took(0, 1, limitOf(3), none), took(2, 9, limitOf(5), none),
				took(3, 4, about("usage", ""), uses(3, 0, 0)),
				took(5, 6, about("usage", ""), uses(5, 0, 0)),
				took(7, 8, about("usage", ""), uses(5, 0, 0)),
			},
			4, uses(3, 0, 0),
		},
		"an account that remembers its life before": {
			[]porcupine.Operation{
				took(0, 1, limitOf(3), none), took(2, 3, about("check", "a"), allow("a", 2)),
				took(4, 5, about("purge", ""), none), took(6, 7, limitOf(3), none),
				took(8, 9, about("usage", ""), uses(3, 0, 0)),
			},
			4, uses(3, 0, 1),
		},
		"an account that is found after it was deleted": {
			[]porcupine.Operation{
				took(0, 1, limitOf(3), none), took(2, 3, about("purge", ""), none),
				took(4, 5, about("check", "a"), problem(httpv1.AccountNotFound)),
			},
			2, allow("a", 2),
		},
		"an id that is made up twice": {
			[]porcupine.Operation{
				took(0, 1, limitOf(3), none), took(2, 3, about("check", ""), allow("x-1", 2)),
				took(4, 5, about("check", ""), allow("x-2", 1)),
			},
			2, allow("x-1", 2),
		},
	} {
		t.Run(name, func(t *testing.T) {
			if !porcupine.CheckOperations(sequential, c.history) {
				t.Errorf("the right one has no order:\n%s", unexplained(c.history))
			}
			c.history[c.changed].Output = c.response
			if porcupine.CheckOperations(sequential, c.history) {
				t.Error("the wrong one has an order")
			}
		})
	}
}
