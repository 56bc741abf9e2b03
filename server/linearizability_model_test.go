package server_test

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/anishathalye/porcupine"

	"github.com/sluice-mail/sluice/api/httpv1"
	"github.com/sluice-mail/sluice/limiter"
)

// The model: the API of one account, if calls came one after the other. A history lasts
// milliseconds, so that nothing in it expires, leaves a window or is forgotten. The model has no
// time, and all its windows hold the same.

// call is one call, to the API or of the caller who changes limits.
type call struct {
	account int
	verb    string // check, commit, release, usage; apply, purge
	id      string
	cost    int64 // 0: the request does not say
	policy  limiter.Policy
}

// modelResponse is the response to a call, without its times. If a check brings no id, the id is
// the one that the server made up.
type modelResponse struct {
	status    int
	kind      string // of a problem
	decision  string // also a usage's behavior
	reason    string
	suspended bool
	id        string
	cost      int64
	limited   bool // there is something that remains
	remaining int64
	waits     bool // there is a time to come back at
	outcome   string
	inFlight  int64
	windows   [3]modelWindow
}

type modelWindow struct {
	listed, waits                    bool
	limit, used, inFlight, remaining int64
}

func (c call) String() string { return nonZero(c) }

func (s modelResponse) String() string { return nonZero(s) }

// nonZero prints the fields of a struct that are not zero.
func nonZero(v any) string {
	var b strings.Builder
	for field, value := range reflect.ValueOf(v).Fields() {
		if !value.IsZero() {
			fmt.Fprintf(&b, "%s=%v ", field.Name, value)
		}
	}
	return strings.TrimSpace(b.String())
}

// modelAccount is the state of an account. Nobody writes to its slices: each step makes new ones.
type modelAccount struct {
	exists bool
	policy limiter.Policy
	used   int64
	held   []reservation // oldest first
	ended  []reservation // by id
}

type reservation struct {
	id      string
	cost    int64
	outcome string
}

func (l modelAccount) equal(other modelAccount) bool {
	return l.exists == other.exists && l.policy == other.policy && l.used == other.used &&
		slices.Equal(l.held, other.held) && slices.Equal(l.ended, other.ended)
}

func (l modelAccount) inFlight() (sum int64) {
	for _, r := range l.held {
		sum += r.cost
	}
	return sum
}

// end ends the reservation that is held at i.
func (l modelAccount) end(i int, outcome string) modelAccount {
	r := l.held[i]
	l.held = slices.Delete(slices.Clone(l.held), i, i+1)
	return l.remember(r.id, r.cost, outcome)
}

// remember adds or changes the reservation of an id that has ended.
func (l modelAccount) remember(id string, cost int64, outcome string) modelAccount {
	i, known := slices.BinarySearchFunc(l.ended, id, func(r reservation, id string) int {
		return cmp.Compare(r.id, id)
	})
	l.ended = slices.Clone(l.ended)
	if !known {
		l.ended = slices.Insert(l.ended, i, reservation{})
	}
	l.ended[i] = reservation{id, cost, outcome}
	return l
}

func (l modelAccount) find(id string) (held int, past reservation) {
	i, known := slices.BinarySearchFunc(l.ended, id, func(r reservation, id string) int {
		return cmp.Compare(r.id, id)
	})
	if known {
		past = l.ended[i]
	}
	return slices.IndexFunc(l.held, func(r reservation) bool { return r.id == id }), past
}

// room returns the least that remains in any limited window.
func (l modelAccount) room() (remaining int64, limited bool) {
	for _, limit := range l.policy.Limits[limiter.Cost][limiter.Minute:] {
		if left := max(0, limit-l.used-l.inFlight()); limit > 0 && (!limited || left < remaining) {
			remaining, limited = left, true
		}
	}
	return remaining, limited
}

func problem(kind httpv1.ProblemKind) modelResponse {
	return modelResponse{status: kind.Status, kind: kind.Name}
}

// step returns the account after a call, and the response to it. Of the response that the server
// gave, step uses nothing but the id that the server made up.
func (l modelAccount) step(c call, given modelResponse) (modelAccount, modelResponse) {
	switch {
	case c.verb == "apply":
		return modelAccount{
			exists: true, policy: c.policy, used: l.used, held: l.held, ended: l.ended,
		}, modelResponse{}
	case c.verb == "purge":
		return modelAccount{}, modelResponse{}
	case !l.exists:
		return l, problem(httpv1.AccountNotFound)
	case c.verb == "check":
		if i, past := l.find(given.id); c.id == "" && (i >= 0 || past.id != "") {
			return l, modelResponse{} // it made up an id that there was
		}
		return l.check(cmp.Or(c.id, given.id), max(1, c.cost))
	case c.verb == "commit":
		return l.commit(c.id, c.cost)
	case c.verb == "release":
		return l.release(c.id)
	}
	return l, l.usage()
}

func (l modelAccount) behavior() string {
	if l.policy.Behavior == limiter.Reject {
		return httpv1.Reject
	}
	return httpv1.Defer
}

func (l modelAccount) check(id string, cost int64) (modelAccount, modelResponse) {
	i, past := l.find(id)
	switch {
	case l.policy.Suspended:
		return l, modelResponse{status: 200, decision: l.behavior(), reason: httpv1.ReasonSuspended}
	case past.id != "", i >= 0 && l.held[i].cost != cost:
		return l, problem(httpv1.ReservationConflict)
	case i < 0:
		for _, limit := range l.policy.Limits[limiter.Cost][limiter.Minute:] {
			if limit > 0 && cost > limit {
				return l, problem(httpv1.CostExceedsLimit)
			}
		}
		if denial := l.deny(cost); denial.waits {
			return l, denial
		}
		l.held = append(slices.Clone(l.held), reservation{id: id, cost: cost})
	}
	a := modelResponse{status: 200, decision: httpv1.Allow, id: id, cost: cost}
	a.remaining, a.limited = l.room()
	return l, a
}

// deny returns the denial of a cost, if there is a window into which it does not fit.
func (l modelAccount) deny(cost int64) modelResponse {
	a := modelResponse{status: 200, decision: l.behavior()}
	for w, limit := range l.policy.Limits[limiter.Cost][limiter.Minute:] {
		if limit > 0 && l.used+l.inFlight()+cost > limit {
			a.waits = true
			a.windows[w] = modelWindow{
				listed: true, waits: true, limit: limit, used: l.used, inFlight: l.inFlight(),
			}
		}
	}
	return a
}

func (l modelAccount) commit(id string, cost int64) (modelAccount, modelResponse) {
	a := modelResponse{status: 200, outcome: httpv1.Unreserved}
	i, past := l.find(id)
	if id == "" {
		i = min(0, len(l.held)-1)
	}
	switch {
	case i >= 0:
		a.outcome = httpv1.Committed
		l.used += cmp.Or(cost, l.held[i].cost)
		l = l.end(i, a.outcome)
	case id == "":
		l.used += max(1, cost)
	case past.outcome == httpv1.Committed, past.outcome == httpv1.Unreserved:
		a.outcome = past.outcome
	default: // unknown or released
		cost = cmp.Or(cost, past.cost, 1)
		l.used += cost
		l = l.remember(id, cost, a.outcome)
	}
	return l, a
}

func (l modelAccount) release(id string) (modelAccount, modelResponse) {
	i, past := l.find(id)
	if id == "" {
		i = min(0, len(l.held)-1)
	}
	switch {
	case i >= 0:
		return l.end(i, httpv1.Released), modelResponse{status: 200, outcome: httpv1.Released}
	case past.outcome == httpv1.Released:
		return l, modelResponse{status: 200, outcome: httpv1.Released}
	case past.id != "":
		return l, problem(httpv1.ReservationConflict)
	}
	return l, problem(httpv1.ReservationNotFound)
}

func (l modelAccount) usage() modelResponse {
	a := modelResponse{
		status: 200, decision: l.behavior(), suspended: l.policy.Suspended, inFlight: l.inFlight(),
	}
	for w, limit := range l.policy.Limits[limiter.Cost][limiter.Minute:] {
		a.windows[w] = modelWindow{listed: true, used: l.used}
		if limit > 0 {
			a.windows[w].limit, a.windows[w].remaining = limit, max(0, limit-l.used-a.inFlight)
			a.windows[w].waits = l.used+a.inFlight+1 > limit
			a.waits = a.waits || a.windows[w].waits
		}
	}
	return a
}

// sequential is the model for porcupine, which checks a history account by account.
var sequential = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		var parts [accounts][]porcupine.Operation
		for _, o := range history {
			n := o.Input.(call).account
			parts[n] = append(parts[n], o)
		}
		return parts[:]
	},
	Init: func() any { return modelAccount{} },
	Step: func(state, input, output any) (bool, any) {
		after, want := state.(modelAccount).step(input.(call), output.(modelResponse))
		return want == output.(modelResponse), after
	},
	Equal: func(a, b any) bool { return a.(modelAccount).equal(b.(modelAccount)) },
}
