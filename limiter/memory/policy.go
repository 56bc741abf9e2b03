package memory

import "time"

// Key names an account: the namespace and name of its MailAccount.
type Key struct{ Namespace, Name string }

// Window is one of the three sliding windows. The order minute, hour, day is the order in which they are reported, and
// in which [WindowBoundary] looks for the first exhausted one.
type Window uint8

// The windowCount.
const (
	Minute Window = iota
	Hour
	Day
	windowCount = 3 // how many there are
)

var windowLengths = [windowCount]int64{int64(time.Minute), int64(time.Hour), int64(24 * time.Hour)}

// Length is the window's length: a day is 86,400 s.
func (w Window) Length() time.Duration { return time.Duration(windowLengths[w]) }

// String returns "minute", "hour" or "day", as the HTTP API spells them.
func (w Window) String() string { return [windowCount]string{"minute", "hour", "day"}[w] }

// Limits is how much cost an account may send per window, indexed by [Window]. A limit of 0 or less is no limit.
type Limits [windowCount]int64

// Behavior is what a check over the limit is told.
type Behavior uint8

// The behaviors.
const (
	// Defer tells the caller to try again at the returned time. It is the zero value.
	Defer Behavior = iota
	// Reject tells the caller to give up on this message.
	Reject
)

// DeferTo chooses the instant that a denied check is told to wait for.
type DeferTo uint8

// The choices of the instant to wait for.
const (
	// EarliestSlot is the earliest instant at which the same check would be admitted if every outstanding
	// reservation were committed now and nobody else asked. It is the zero value.
	EarliestSlot DeferTo = iota
	// WindowBoundary is the next multiple, on the wall clock, of the first exhausted window's length. It does not
	// promise a free slot: the sliding window may still be full then.
	WindowBoundary
)

// Policy is what a MailAccount's spec says.
type Policy struct {
	Limits    Limits
	Behavior  Behavior
	DeferTo   DeferTo
	Suspended bool // deny every check
}
