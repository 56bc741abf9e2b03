package limiter

import "time"

// Key names an account: the namespace and name of its MailAccount.
type Key struct{ Namespace, Name string }

// Window is one of the sliding windows. They are in the order in which they are reported, and in
// which [WindowBoundary] looks for the first exhausted one.
type Window uint8

// The windows.
const (
	Second Window = iota
	Minute
	Hour
	Day
	Windows = 4 // how many there are
)

// windows is what makes a window: to add one is to add a row here and a constant above.
var windows = [Windows]struct {
	length time.Duration
	name   string
}{
	Second: {time.Second, "second"},
	Minute: {time.Minute, "minute"},
	Hour:   {time.Hour, "hour"},
	Day:    {24 * time.Hour, "day"},
}

// Length is the window's length: a day is 86,400 s.
func (w Window) Length() time.Duration { return windows[w].length }

// String returns "second", "minute", "hour" or "day", as the HTTP API spells them.
func (w Window) String() string { return windows[w].name }

// Unit is what a limit counts.
type Unit uint8

// The units.
const (
	// Cost is what checks and commits say that they cost.
	Cost Unit = iota
	// Messages is one for each check or commit, whatever it costs.
	Messages
	Units = 2 // how many there are
)

// Limits is the table of an account's limits: how much of a unit it may send per window, such as
// Limits{Cost: {Minute: 30}, Messages: {Day: 2000}}. A limit of 0 or less is no limit.
type Limits [Units][Windows]int64

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
	// EarliestSlot is the earliest instant at which the same check would be admitted if every
	// outstanding reservation were committed now and nobody else asked. It is the zero value.
	EarliestSlot DeferTo = iota
	// WindowBoundary is the next multiple, on the wall clock, of the first exhausted window's
	// length. It does not promise a free slot: the sliding window may still be full then.
	WindowBoundary
)

// Policy is what a MailAccount's spec says.
type Policy struct {
	Limits    Limits
	Behavior  Behavior
	DeferTo   DeferTo
	Suspended bool // deny every check
	// Generation is the number of this version of the spec: where replicas disagree for a moment,
	// a store that they share goes by the latest. 0 is not known.
	Generation int64
}

// SameRules reports whether two policies decide the same. Their generations do not matter.
func (p Policy) SameRules(other Policy) bool {
	p.Generation = other.Generation
	return p == other
}
