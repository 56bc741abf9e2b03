package server_test

import (
	"testing"

	"github.com/anishathalye/porcupine"

	"github.com/sluice-mail/sluice/api/httpv1"
	"github.com/sluice-mail/sluice/limiter"
)

// took is a call of some caller, from when to when, and its answer.
func took(from, to int64, c call, s said) porcupine.Operation {
	return porcupine.Operation{ClientId: int(from), Input: c, Output: s, Call: from, Return: to}
}

func limitOf(n int64) call {
	return call{verb: "apply", policy: limiter.Policy{Limits: limiter.Limits{n, 0, 0}}}
}

func about(verb, id string) call { return call{verb: verb, id: id} }

func allow(id string, remaining int64) said {
	return said{
		status: 200, decision: httpv1.Allow, id: id, cost: 1, limited: true, remaining: remaining,
	}
}

func deny(limit, used, inFlight int64) said {
	return said{status: 200, decision: httpv1.Defer, waits: true,
		windows: [3]saidWindow{
			{listed: true, waits: true, limit: limit, used: used, inFlight: inFlight},
		}}
}

func ended(outcome string) said { return said{status: 200, outcome: outcome} }

func uses(limit, used, inFlight int64) said {
	full := used+inFlight >= limit
	minute := saidWindow{
		listed: true, waits: full, limit: limit, used: used, remaining: max(0, limit-used-inFlight),
	}
	other := saidWindow{listed: true, used: used}
	return said{
		status: 200, decision: httpv1.Defer, inFlight: inFlight, waits: full,
		windows: [3]saidWindow{minute, other, other},
	}
}

// TestWhatHasNoOrder holds histories against the model that are right, and the same with one answer
// changed, which is wrong: a model that explains everything proves nothing.
func TestWhatHasNoOrder(t *testing.T) {
	for name, c := range map[string]struct {
		history []porcupine.Operation
		changed int
		answer  said
	}{
		"two at once at a limit of 1": {
			[]porcupine.Operation{
				took(0, 1, limitOf(1), said{}), took(2, 5, about("check", "a"), deny(1, 0, 1)),
				took(3, 4, about("check", "b"), allow("b", 0)),
			},
			1, allow("a", 0),
		},
		"two at once that both see the same room": {
			[]porcupine.Operation{
				took(0, 1, limitOf(3), said{}), took(2, 5, about("check", "a"), allow("a", 1)),
				took(3, 4, about("check", "b"), allow("b", 2)),
			},
			1, allow("a", 2),
		},
		"an answer that knows of a call after it": {
			[]porcupine.Operation{
				took(0, 1, limitOf(3), said{}), took(2, 3, about("check", "a"), allow("a", 2)),
				took(4, 5, about("check", "b"), allow("b", 1)),
			},
			1, allow("a", 1),
		},
		"a usage that does not know of a commit before it": {
			[]porcupine.Operation{
				took(0, 1, limitOf(3), said{}),
				took(2, 3, about("commit", "a"), ended(httpv1.Unreserved)),
				took(4, 5, about("usage", ""), uses(3, 1, 0)),
			},
			2, uses(3, 0, 0),
		},
		"a commit that counts twice": {[]porcupine.Operation{
			took(0, 1, limitOf(3), said{}), took(2, 3, about("check", "a"), allow("a", 2)),
			took(4, 7, about("commit", "a"), ended(httpv1.Committed)),
			took(5, 6, about("commit", "a"), ended(httpv1.Committed)),
			took(8, 9, about("usage", ""), uses(3, 1, 0))},
			4, uses(3, 2, 0)},
		"a slot that is free while it is held": {
			[]porcupine.Operation{
				took(0, 1, limitOf(3), said{}), took(2, 3, about("check", "a"), allow("a", 2)),
				took(4, 7, about("commit", "a"), ended(httpv1.Committed)),
				took(5, 6, about("usage", ""), uses(3, 0, 1)),
			},
			3, uses(3, 0, 0),
		},
		"a release of what was committed": {
			[]porcupine.Operation{
				took(0, 1, limitOf(3), said{}), took(2, 3, about("check", "a"), allow("a", 2)),
				took(4, 7, about("release", "a"), problem(httpv1.ReservationConflict)),
				took(5, 6, about("commit", "a"), ended(httpv1.Committed)),
			},
			2, ended(httpv1.Released),
		},
		"a commit and a release that both end the oldest": {
			[]porcupine.Operation{
				took(0, 1, limitOf(3), said{}), took(2, 3, about("check", "a"), allow("a", 2)),
				took(4, 7, about("release", ""), problem(httpv1.ReservationNotFound)),
				took(5, 6, about("commit", ""), ended(httpv1.Committed)),
			},
			2, ended(httpv1.Released),
		},
		"a limit that is seen, and then the one before it": {
			[]porcupine.Operation{
				took(0, 1, limitOf(3), said{}), took(2, 9, limitOf(5), said{}),
				took(3, 4, about("usage", ""), uses(3, 0, 0)),
				took(5, 6, about("usage", ""), uses(5, 0, 0)),
				took(7, 8, about("usage", ""), uses(5, 0, 0)),
			},
			4, uses(3, 0, 0),
		},
		"an account that remembers its life before": {
			[]porcupine.Operation{
				took(0, 1, limitOf(3), said{}), took(2, 3, about("check", "a"), allow("a", 2)),
				took(4, 5, about("purge", ""), said{}), took(6, 7, limitOf(3), said{}),
				took(8, 9, about("usage", ""), uses(3, 0, 0)),
			},
			4, uses(3, 0, 1),
		},
		"an account that is found after it was deleted": {
			[]porcupine.Operation{
				took(0, 1, limitOf(3), said{}), took(2, 3, about("purge", ""), said{}),
				took(4, 5, about("check", "a"), problem(httpv1.AccountNotFound)),
			},
			2, allow("a", 2),
		},
		"an id that is made up twice": {
			[]porcupine.Operation{
				took(0, 1, limitOf(3), said{}), took(2, 3, about("check", ""), allow("x-1", 2)),
				took(4, 5, about("check", ""), allow("x-2", 1)),
			},
			2, allow("x-1", 2),
		},
	} {
		t.Run(name, func(t *testing.T) {
			if !porcupine.CheckOperations(sequential, c.history) {
				t.Errorf("the right one has no order:\n%s", unexplained(c.history))
			}
			c.history[c.changed].Output = c.answer
			if porcupine.CheckOperations(sequential, c.history) {
				t.Error("the wrong one has an order")
			}
		})
	}
}
