package bench

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/sluice-mail/sluice/api/httpv1"
)

// Limits says how the limits were kept.
type Limits struct {
	// Windows is how many windows of how many Accounts were verified: all that have a limit, except
	// those whose limit changed during the run.
	Windows  int `json:"windows"`
	Accounts int `json:"accounts"`
	// Fullest is the most that was granted in any window, as a part of its limit. More than 1 is
	// too much.
	Fullest float64 `json:"fullest"`
	// Exceeded lists the limits that were not kept.
	Exceeded []Violation `json:"exceeded"`
}

// Violation is a limit that was exceeded, or will be.
type Violation struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Window    string `json:"window"`
	Limit     int64  `json:"limit"`
	// What is Granted, Used or Forgotten.
	What string `json:"what"`
	// Count is what was granted, what is used, or what should be used.
	Count int64 `json:"count"`
}

// The values of Violation.What.
const (
	// Granted means that more than the limit was granted within one window.
	Granted = "Granted"
	// Used means that the usage at the end is above the limit.
	Used = "Used"
	// Forgotten means that the usage at the end is below what was committed. So the server will
	// grant too much.
	Forgotten = "Forgotten"
)

// verify reads the usage at the end, and compares it and what was granted with the limits.
func (r *run) verify(ctx context.Context) Limits {
	ends := map[httpv1.Account]*end{}
	err := r.list(ctx, func(u *httpv1.Usage, received time.Time) bool {
		account := httpv1.Account{Namespace: u.Namespace, Name: u.Name}
		ends[account] = &end{u, received.Sub(r.pacer.start)}
		return true
	})
	if err != nil {
		r.note("The usage at the end cannot be read, so only what was granted is verified: %v.", err)
	}
	limits := Limits{Exceeded: []Violation{}}
	gone, changed := 0, 0
	for _, a := range r.accounts {
		if e := ends[a.Account]; e == nil && err == nil {
			gone++
		} else {
			changed += limits.verify(a, e)
		}
	}
	if gone > 0 {
		r.note("Not verified, because they are gone at the end: %d accounts.", gone)
	}
	if changed > 0 {
		r.note("Not verified, because they changed during the run: %d limits.", changed)
	}
	return limits
}

// end is the usage of an account at the end, and when it was received, since the start of the run.
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

// verify adds an account, and returns how many of its limits changed during the run. If e is nil,
// it looks only at what was granted.
func (s *Limits) verify(a *account, e *end) (changed int) {
	verified := 0
	for _, name := range slices.Sorted(maps.Keys(a.granted.windows)) {
		w := a.granted.windows[name]
		found := func(what string, count int64) {
			s.Exceeded = append(s.Exceeded,
				Violation{a.Namespace, a.Name, name, w.limit, what, count})
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
			ranWithinTheWindow := e.at < w.length
			if ranWithinTheWindow && used < a.granted.committed {
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
