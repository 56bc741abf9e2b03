package bench

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/sluice-mail/sluice/api/httpv1"
)

var windowLengths = map[string]time.Duration{"minute": time.Minute, "hour": time.Hour, "day": 24 * time.Hour}

// clockTolerance is how much faster a server's clock may run: two machines whose clocks are being set can differ by a
// thousandth. Without it a long window would seem to end too early.
const clockTolerance = 1000

// granted is what one account was granted, and what it may be.
type granted struct {
	mu        sync.Mutex
	windows   map[string]*window // the limited ones
	used      map[string]int64   // at the start
	committed int64
	// surplus says that a commit had no reservation any more: that may exceed a limit, and is nobody's fault.
	surplus bool
}

func newGranted(u *httpv1.Usage) *granted {
	g := &granted{windows: map[string]*window{}, used: map[string]int64{}}
	for _, w := range u.Windows {
		length, known := windowLengths[w.Window]
		if w.Limit == nil || !known {
			continue
		}
		g.windows[w.Window] = &window{length: length - length/clockTolerance, limit: *w.Limit}
		g.used[w.Window] = w.Used
	}
	return g
}

// grant counts an allowed check and says whether it is the first to exceed a limit. Times are since the start.
func (g *granted) grant(asked, answered time.Duration, cost int64) (exceeded bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, w := range g.windows {
		exceeded = w.add(asked, answered, cost) || exceeded
	}
	return exceeded
}

// giveBack takes back the grant of a check that is going to be released.
func (g *granted) giveBack(asked time.Duration, cost int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, w := range g.windows {
		w.remove(asked, cost)
	}
}

// commit counts a commit that was answered.
func (g *granted) commit(cost int64, outcome string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.committed += cost
	g.surplus = g.surplus || outcome != httpv1.Committed
}

// Limits says how the limits were kept.
type Limits struct {
	// Windows is how many windows of how many Accounts were verified: all that are limited, but for those whose limit
	// changed meanwhile.
	Windows  int `json:"windows"`
	Accounts int `json:"accounts"`
	// Fullest is the most that was granted in any window, as a part of its limit. Over 1 is too much.
	Fullest float64 `json:"fullest"`
	// Exceeded is what is wrong.
	Exceeded []Violation `json:"exceeded"`
}

// Violation is a limit that was exceeded, or will be.
type Violation struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Window    string `json:"window"`
	Limit     int64  `json:"limit"`
	// What is Granted: more than the limit was granted within one window; Used: the usage at the end is above the
	// limit; or Forgotten: the usage at the end is below what was committed, and so more will be granted.
	What string `json:"what"`
	// Count is what was granted, is used, or should be used.
	Count int64 `json:"count"`
}

// The values of Violation.What.
const (
	Granted   = "Granted"
	Used      = "Used"
	Forgotten = "Forgotten"
)

// verify reads the usage at the end and holds it, and what was granted, against the limits.
func (r *run) verify(ctx context.Context) Limits {
	ends := map[httpv1.Account]*end{}
	err := r.list(ctx, func(u *httpv1.Usage, received time.Time) bool {
		ends[httpv1.Account{Namespace: u.Namespace, Name: u.Name}] = &end{u, received.Sub(r.pacer.start)}
		return true
	})
	if err != nil {
		r.note("The usage at the end cannot be read, so that only what was granted is verified: %v.", err)
	}
	limits := Limits{Exceeded: []Violation{}}
	gone, changed := 0, 0
	for _, a := range r.accounts {
		if e := ends[a.Account]; e == nil && err == nil {
			gone++
		} else {
			changed += limits.add(a, e)
		}
	}
	if gone > 0 {
		r.note("Not verified, as they are gone at the end: %d accounts.", gone)
	}
	if changed > 0 {
		r.note("Not verified, as they changed meanwhile: %d limits.", changed)
	}
	return limits
}

// end is the usage of an account at the end, and when it was received.
type end struct {
	usage *httpv1.Usage
	at    time.Duration
}

// window is the usage of one window, or nil.
func (e *end) window(name string) *httpv1.WindowUsage {
	for i := range e.usage.Windows {
		if w := &e.usage.Windows[i]; w.Window == name {
			return w
		}
	}
	return nil
}

// add verifies an account, and returns how many of its limits changed meanwhile. Without its usage at the end, only what
// was granted is looked at.
func (s *Limits) add(a *account, e *end) (changed int) {
	verified := 0
	for _, name := range slices.Sorted(maps.Keys(a.granted.windows)) {
		w := a.granted.windows[name]
		found := func(what string, count int64) {
			s.Exceeded = append(s.Exceeded, Violation{a.Namespace, a.Name, name, w.limit, what, count})
		}
		if e != nil {
			now := e.window(name)
			if now == nil || now.Limit == nil || *now.Limit != w.limit {
				changed++
				continue
			}
			used := now.Used + e.usage.InFlight
			if used > w.limit && a.granted.used[name] <= w.limit && !a.granted.surplus {
				found(Used, used)
			}
			if e.at < w.length && used < a.granted.committed { // nothing of the run has left the window
				found(Forgotten, a.granted.committed)
			}
		}
		verified++
		s.Fullest = max(s.Fullest, float64(w.most)/float64(w.limit))
		if w.most > w.limit {
			found(Granted, w.most)
		}
	}
	if verified > 0 {
		s.Windows += verified
		s.Accounts++
	}
	return changed
}
