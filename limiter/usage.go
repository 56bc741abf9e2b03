package limiter

import "time"

// Usage is the state of one account.
type Usage struct {
	Key      Key
	Policy   Policy
	InFlight int64 // cost of the outstanding reservations
	// Windows are minute, hour and day of cost, and what else has a limit, in the order of units
	// and windows. Full and FreeIn are those of a check of cost 1.
	Windows []WindowUsage
	// Full reports whether a check of cost 1 would be denied now, for want of a slot. NextSlot is
	// then how long until the earliest slot, whatever the account's DeferTo.
	Full     bool
	NextSlot time.Duration
}

// WindowUsage is the state of one window of one account.
type WindowUsage struct {
	Unit   Unit
	Window Window
	// Limit is 0 where there is no limit.
	Limit int64
	// Used is what was sent inside the window, InFlight what is outstanding, in the unit.
	Used, InFlight int64
	// Full reports whether what was asked for does not fit. FreeIn is then how long until it would,
	// if every outstanding reservation were committed now and nobody else asked; otherwise it is 0.
	// Like every duration in an answer it counts from the Instant of the call, also when another
	// caller, who read the clock later, came first.
	Full   bool
	FreeIn time.Duration
}

// Remaining is how much still fits into the window: 0 also when a limit was lowered below what was
// used. It is meaningless without a limit.
func (u *WindowUsage) Remaining() int64 { return max(0, u.Limit-u.Used-u.InFlight) }

// Window returns how one window stands. It is the zero value where Windows has no such entry.
func (u *Usage) Window(unit Unit, w Window) WindowUsage {
	for _, window := range u.Windows {
		if window.Unit == unit && window.Window == w {
			return window
		}
	}
	return WindowUsage{}
}
