package redis

import (
	"encoding/binary"
	"time"

	"github.com/sluice-mail/sluice/limiter"
)

// answer is what every script returns.
type answer struct {
	status  status
	life    uint32
	version uint32
	count   int64 // outstanding reservations
	// called is the instant of the call and now that of the account, which may have seen a later
	// one. asked is not after the caller's: waits count from there, so that none is too short.
	asked, called, now int64
	body               []byte
}

const answerSize = 1 + 7*4

func readInstant(b []byte) int64 {
	seconds, nanos := binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
	return int64(seconds)*int64(time.Second) + int64(nanos)
}

// readAnswer reads the answer of a script. It reports false if that is none.
func readAnswer(b []byte) (a answer, ok bool) {
	if len(b) < answerSize {
		return a, false
	}
	return answer{
		status:  b[0],
		life:    binary.BigEndian.Uint32(b[1:]),
		version: binary.BigEndian.Uint32(b[5:]),
		count:   int64(binary.BigEndian.Uint32(b[9:])),
		called:  readInstant(b[13:]),
		now:     readInstant(b[21:]),
		body:    b[answerSize:],
	}, true
}

// What the body of an answer is long, without the policy that may follow.
const (
	allowedSize = 1 + 8 + 8
	stateSize   = 8 + 8 + 16*limiter.Units*limiter.Windows
)

// decider returns the policy that decided: the caller's, or a newer one that another replica has
// brought. It takes that off the body, which is of this size otherwise.
func (a *answer) decider(p *limiter.Policy, size int) *limiter.Policy {
	if len(a.body) != size+policySize {
		return p
	}
	newer := readPolicy(a.body[size:])
	a.body = a.body[:size]
	return newer
}

// allowed is the rest of the answer to an allowed check.
func (a *answer) allowed(ask limiter.Ask) (d limiter.Decision, ok bool) {
	if len(a.body) != allowedSize {
		return d, false
	}
	return limiter.Decision{
		Verdict: limiter.Allowed, Cost: ask.Cost, Limited: a.body[0] == 1,
		Remaining: int64(binary.BigEndian.Uint64(a.body[1:])),
		ExpiresIn: time.Duration(readInstant(a.body[9:]) - a.called),
	}, true
}

// state is the rest of the answer to a denied check, and to one for the usage.
type state struct {
	until int64 // the instant up to which all of it holds, if nobody calls
	cost  int64 // of what is outstanding
	used  [limiter.Units][limiter.Windows]int64
	free  [limiter.Units][limiter.Windows]int64 // instants
}

func (a *answer) state() (s state, ok bool) {
	if len(a.body) != stateSize {
		return s, false
	}
	s.until, s.cost = readInstant(a.body), int64(binary.BigEndian.Uint64(a.body[8:]))
	b := a.body[16:]
	for u := range s.used {
		for w := range s.used[u] {
			s.used[u][w] = int64(binary.BigEndian.Uint64(b))
			s.free[u][w] = readInstant(b[8:])
			b = b[16:]
		}
	}
	return s, true
}

// window is how one window stands towards a further check of this cost.
func (a *answer) window(
	s *state, p *limiter.Policy, u limiter.Unit, w limiter.Window, cost int64,
) limiter.WindowUsage {
	inFlight := s.cost
	if u == limiter.Messages {
		inFlight, cost = a.count, 1
	}
	usage := limiter.WindowUsage{
		Unit: u, Window: w, Limit: max(0, p.Limits[u][w]), Used: s.used[u][w], InFlight: inFlight,
	}
	if usage.Limit > 0 && usage.Used+inFlight+cost > usage.Limit {
		usage.Full, usage.FreeIn = true, time.Duration(s.free[u][w]-a.asked)
	}
	return usage
}

// denied is the rest of the answer to a denied check.
func (a *answer) denied(
	p *limiter.Policy, now limiter.Instant, cost int64,
) (d limiter.Decision, ok bool) {
	s, ok := a.state()
	if !ok {
		return d, false
	}
	return a.deniedIn(&s, p, now, cost)
}

// deniedIn is a denial in a state of the account.
func (a *answer) deniedIn(
	s *state, p *limiter.Policy, now limiter.Instant, cost int64,
) (d limiter.Decision, ok bool) {
	d = limiter.Decision{Verdict: denial(p), Limited: true}
	for u := range limiter.Unit(limiter.Units) {
		for w := range limiter.Window(limiter.Windows) {
			if usage := a.window(s, p, u, w, cost); usage.Full {
				d.Exhausted = append(d.Exhausted, usage)
				d.RetryAfter = max(d.RetryAfter, usage.FreeIn)
			}
		}
	}
	if len(d.Exhausted) == 0 {
		return limiter.Decision{}, false
	}
	if p.DeferTo == limiter.WindowBoundary {
		length := int64(d.Exhausted[0].Window.Length())
		d.RetryAfter = time.Duration(length - (now.Wall%length+length)%length) // also before 1970
	}
	return d, true
}

// denial is the verdict of the denials under a policy.
func denial(p *limiter.Policy) limiter.Verdict {
	if p.Behavior == limiter.Reject {
		return limiter.Rejected
	}
	return limiter.Deferred
}

// usage is the rest of the answer to a call for the usage.
func (a *answer) usage(p *limiter.Policy) (u limiter.Usage, ok bool) {
	s, ok := a.state()
	if !ok {
		return u, false
	}
	u.Policy, u.InFlight = *p, s.cost
	u.Windows = make([]limiter.WindowUsage, 0, limiter.Windows)
	for unit := range limiter.Unit(limiter.Units) {
		for w := range limiter.Window(limiter.Windows) {
			always := unit == limiter.Cost && w != limiter.Second
			if !always && p.Limits[unit][w] <= 0 {
				continue
			}
			usage := a.window(&s, p, unit, w, 1)
			if usage.Full {
				u.Full, u.NextSlot = true, max(u.NextSlot, usage.FreeIn)
			}
			u.Windows = append(u.Windows, usage)
		}
	}
	return u, true
}

// errorOf are the statuses that are errors.
var errorOf = map[status]error{
	statusNotFound:            limiter.ErrAccountNotFound,
	statusOtherCost:           limiter.ErrReservationCost,
	statusEnded:               limiter.ErrReservationEnded,
	statusExceedsLimit:        limiter.ErrCostExceedsLimit,
	statusAccountOverloaded:   limiter.ErrAccountOverloaded,
	statusOverloaded:          limiter.ErrOverloaded,
	statusReservationNotFound: limiter.ErrReservationNotFound,
}

// outcomeOf are the statuses that are outcomes.
var outcomeOf = map[status]limiter.Outcome{
	statusCommitted:  limiter.Committed,
	statusLate:       limiter.Late,
	statusUnreserved: limiter.Unreserved,
	statusReleased:   limiter.Released,
}

// outcome is the answer to a commit or a release. It reports false if it is none.
func (a *answer) outcome() (o limiter.Outcome, err error, ok bool) { //nolint:revive // ok is last
	if err, ok = errorOf[a.status]; ok {
		return 0, err, true
	}
	o, ok = outcomeOf[a.status]
	return o, nil, ok
}
