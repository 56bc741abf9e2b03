package limiter

import (
	"math"
	"time"
)

// MaxCost is the largest cost of one check or commit: the largest limit that a MailAccount can
// have.
const MaxCost = math.MaxInt32

// Ask is what a check asks for.
type Ask struct {
	// ID names the reservation. It must not be empty, and should be unique within the account for
	// 15 minutes: a check that repeats the ID of an outstanding reservation gets that same
	// reservation.
	ID string
	// Cost is how much of each limit to take, 1..MaxCost.
	Cost int64
	// TTL is how long to hold the slot. After that it counts as sent.
	TTL time.Duration
	// New says that the ID was made for this very call: nobody has used it before.
	New bool
}

// Verdict is the answer to a check.
type Verdict uint8

// The verdicts. The zero value is none of them, so that a forgotten decision never lets a mail out.
const (
	Undecided Verdict = iota
	Allowed
	Deferred
	Rejected
)

// Decision is the answer to a check. The zero value allows nothing.
type Decision struct {
	Verdict Verdict
	// Suspended reports whether the account is suspended: the denial has no window and no time.
	Suspended bool
	// Limited reports whether any window has a limit. Remaining is then the least that remains in
	// any of them after an allowed check, and 0 in a denial.
	Limited   bool
	Remaining int64
	// Exhausted are the windows that a denied check does not fit into.
	Exhausted []WindowUsage
	// RetryAfter is how long to wait before the same check, in a denial that is not for suspension.
	RetryAfter time.Duration
	// Cost and ExpiresIn describe the reservation of an allowed check. A repeated check gets what
	// is left.
	Cost      int64
	ExpiresIn time.Duration
}

// Outcome is how a reservation ended.
type Outcome uint8

// The outcomes. The zero value is none of them.
const (
	_ Outcome = iota
	// Committed: the reservation was outstanding and counts from now on as sent.
	Committed
	// Late: its deadline had passed, so it counted as sent at its deadline; it now counts from the
	// commit on.
	Late
	// Unreserved: there was no such reservation; the send was recorded on top of the limits.
	Unreserved
	// Released: the reservation was outstanding and its slot is free again.
	Released
)
