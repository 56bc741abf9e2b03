package journal

import (
	"fmt"
	"time"

	"github.com/sluice-mail/sluice/limiter"
)

// machine says on which boot of which machine a process runs: on the same one, the time since the
// boot tells how much passed between two processes.
type machine struct {
	bootID string
	// timeNamespace has the offsets of the process's boot-time clock; empty without a namespace.
	timeNamespace string
}

// clocks are those of the machine. Tests have their own.
type clocks struct {
	machine func() machine
	// sinceBoot is the time since the machine started, suspend included. It is not ok where the
	// machine has no such clock.
	sinceBoot func() (nanoseconds int64, ok bool)
	// synchronized reports whether the kernel calls the wall clock synchronised.
	synchronized func() bool
	wall         func() int64
}

// read reads all clocks.
func (c *clocks) read(clock limiter.Clock) reading {
	// In this order: whatever comes in between, no more time seems to pass than did.
	r := reading{mono: clock.Now().Mono}
	r.wall = c.wall()
	r.boot, _ = c.sinceBoot()
	return r
}

// Assumption says how the time is known that passed before this process started.
type Assumption string

// The assumptions.
const (
	// FirstStart: there was nothing before.
	FirstStart Assumption = "FirstStart"
	// SameBoot: the clock of the machine's boot measured it, whatever the wall clock did.
	SameBoot Assumption = "SameBoot"
	// WallClock: it is the difference of the wall clock, as the machine was started anew.
	WallClock Assumption = "WallClock"
	// NoTime: none is assumed to have passed, as the wall clock is not synchronised yet. It is
	// caught up with once it is.
	NoTime Assumption = "NoTime"
)

// away is what is known of the time between two processes.
type away struct {
	Assumption
	elapsed time.Duration
}

// resume returns where the limiter's time goes on, after a last reading on a machine. The newest is
// the latest instant in the journal.
func (c *clocks) resume(
	last reading, on machine, newest int64, trust bool,
) (mono int64, a away) {
	sinceBoot, ok := c.sinceBoot()
	switch {
	case ok && on == c.machine() && on.bootID != "" && sinceBoot >= last.boot:
		a = away{SameBoot, time.Duration(sinceBoot - last.boot)}
	case trust || c.synchronized():
		a = away{WallClock, time.Duration(max(0, c.wall()-last.wall))}
	default:
		a = away{NoTime, 0}
	}
	return max(last.mono+int64(a.elapsed), newest), a
}

// catchUp moves the limiter's time forward to where the wall clock says that it is since the last
// reading of the process before. It returns by how much.
func (c *clocks) catchUp(clock limiter.Clock, last reading) time.Duration {
	now := clock.Now().Mono
	behind := last.mono + max(0, c.wall()-last.wall) - now
	if behind <= 0 {
		return 0
	}
	clock.Set(now + behind)
	return time.Duration(behind)
}

// describe says what was assumed, for the log.
func (a away) describe() string {
	switch a.Assumption {
	case FirstStart:
		return "this is the first start"
	case SameBoot:
		return fmt.Sprintf("%s, by the clock of the machine's boot", a.elapsed)
	case WallClock:
		return fmt.Sprintf("%s, by the wall clock, as the machine was started anew", a.elapsed)
	case NoTime:
		return "unknown: the machine was started anew, and the kernel calls its clock " +
			"unsynchronised. No time counts as passed until it is synchronised; --trust-clock " +
			"believes it now"
	}
	return string(a.Assumption)
}
