package memory

import (
	"math"
	"time"
)

// MaxCost is the largest cost of one check or commit: the largest limit that a MailAccount can have.
const MaxCost = math.MaxInt32

// Verdict is the answer to a check.
type Verdict uint8

// The verdicts. The zero value is none of them, so that a forgotten decision never lets a mail out.
const (
	Undecided Verdict = iota
	Allowed
	Deferred
	Rejected
)

// WindowUsage is the state of one window of one account.
type WindowUsage struct {
	// Limit is 0 where there is no limit.
	Limit int64
	// Used is the cost stamped inside the window, InFlight that of the outstanding reservations.
	Used, InFlight int64
	// Full says that the cost asked for does not fit; FreeIn is then how long until it would, if every outstanding
	// reservation were committed now and nobody else asked. FreeIn is 0 where Full is false. Like every duration in an
	// answer it counts from the Instant of the call, also when another caller, who read the clock later, came first.
	Full   bool
	FreeIn time.Duration
}

// Remaining is how much cost still fits into the window: 0 also when a limit was lowered below what was used. It is
// meaningless without a limit.
func (u WindowUsage) Remaining() int64 { return max(0, u.Limit-u.Used-u.InFlight) }

// Decision is the answer to a check. The zero value allows nothing.
type Decision struct {
	Verdict Verdict
	// Suspended says that the account is suspended: the denial has no window and no time.
	Suspended bool
	// Windows is the state after the decision, indexed by Window.
	Windows [windowCount]WindowUsage
	// RetryAfter is how long to wait before the same check, in a denial that is not for suspension.
	RetryAfter time.Duration
	// Cost and ExpiresIn describe the reservation of an allowed check. A repeated check gets what is left.
	Cost      int64
	ExpiresIn time.Duration
}

// Remaining is the least that remains over the limited windows; limited is false if there is none.
func (d *Decision) Remaining() (remaining int64, limited bool) {
	for i := range d.Windows {
		if w := &d.Windows[i]; w.Limit > 0 && (!limited || w.Remaining() < remaining) {
			remaining, limited = w.Remaining(), true
		}
	}
	return remaining, limited
}

// Outcome is how a reservation ended.
type Outcome uint8

// The outcomes. The zero value is none of them.
const (
	_ Outcome = iota
	// Committed: the reservation was outstanding and counts from now on as sent.
	Committed
	// Late: its deadline had passed, so it counted as sent at its deadline; it now counts from the commit on.
	Late
	// Unreserved: there was no such reservation; the send was recorded on top of the limits.
	Unreserved
	// Released: the reservation was outstanding and its slot is free again.
	Released
)
