package journal

import (
	"context"
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
	// patience is how long a start waits for the wall clock to be synchronised.
	patience time.Duration
}

// syncPatience is how long a start waits for the wall clock to be synchronised, if it needs it:
// after a boot that takes some seconds.
const syncPatience = time.Minute

// trusting returns the clocks with a wall clock that is always believed.
func (c *clocks) trusting() *clocks {
	trusting := *c
	trusting.synchronized = func() bool { return true }
	return &trusting
}

// read reads all clocks.
func (c *clocks) read(clock limiter.Clock) reading {
	// In this order: whatever comes in between, no more time seems to pass than did.
	r := reading{mono: clock.Now().Mono}
	r.wall = c.wall()
	r.boot, _ = c.sinceBoot()
	r.synchronized = c.synchronized()
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
	// NoTime: none counts as passed, as the wall clock is not synchronised, or was not.
	NoTime Assumption = "NoTime"
)

// away is what is known of the time between two processes.
type away struct {
	Assumption
	elapsed time.Duration
}

// past is what a journal tells of the time of the process before.
type past struct {
	on     machine
	last   reading
	synced reading // the latest whose wall clock was synchronised; zero if none was
	newest int64   // the latest instant in the journal
}

// sameBoot reports whether the process before ran on this boot of this machine, and how long ago it
// wrote last.
func (c *clocks) sameBoot(p past) (elapsed time.Duration, same bool) {
	sinceBoot, ok := c.sinceBoot()
	same = ok && p.on == c.machine() && p.on.bootID != "" && sinceBoot >= p.last.boot
	return time.Duration(sinceBoot - p.last.boot), same
}

// resume returns where the limiter's time goes on. It may wait for the wall clock, up to patience.
func (c *clocks) resume(ctx context.Context, p past) (mono int64, a away) {
	mono = max(p.last.mono, p.newest)
	if elapsed, same := c.sameBoot(p); same {
		return max(mono, p.last.mono+int64(elapsed)), away{SameBoot, elapsed}
	}
	if !p.synced.synchronized || !c.wait(ctx) {
		return mono, away{NoTime, 0}
	}
	now := p.synced.mono + max(0, c.wall()-p.synced.wall)
	return max(mono, now), away{WallClock, time.Duration(max(0, now-p.last.mono))}
}

// wait waits until the wall clock is synchronised, and reports whether it is.
func (c *clocks) wait(ctx context.Context) bool {
	const pause = time.Second
	for waited := time.Duration(0); !c.synchronized(); waited += pause {
		if waited >= c.patience {
			return false
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(pause):
		}
	}
	return true
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
			"unsynchronised, or did so before. No time counts as passed, so that slots come free " +
			"later; --trust-clock believes the clock"
	}
	return string(a.Assumption)
}
