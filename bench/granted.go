package bench

import (
	"slices"
	"sync"
	"time"

	"github.com/sluice-mail/sluice/api/httpv1"
)

var windowLengths = map[string]time.Duration{
	"minute": time.Minute, "hour": time.Hour, "day": 24 * time.Hour,
}

// clockTolerance shortens a window by a thousandth, because the server's clock may run that much
// faster than this machine's.
const clockTolerance = 1000

// granted is what one account was granted, and its limits.
type granted struct {
	mu        sync.Mutex
	windows   map[string]*window // the limited ones
	used      map[string]int64   // the usage of these at the start
	committed int64              // the cost of the commits that were answered
	// surplus reports whether a commit came without a reservation that was outstanding. Such a
	// commit may exceed a limit, and the server may not refuse it.
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

// add counts an allowed check. It reports whether this is the first to exceed a limit. Times are
// since the start of the run.
func (g *granted) add(asked, answered time.Duration, cost int64) (exceeded bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, w := range g.windows {
		exceeded = w.add(asked, answered, cost) || exceeded
	}
	return exceeded
}

// remove takes back the grant of a check that is going to be released.
func (g *granted) remove(asked time.Duration, cost int64) {
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

// resolution bounds the memory of a window. Up to twice as many grants are kept apart. Beyond that,
// grants merge that are within the same 1/resolution of the window's length.
const resolution = 2048

// window finds the most that an account was granted within one window of a length.
//
// The server granted a check at some instant between the request and the answer. So grants were
// certainly within one window if the last answer came less than the window's length after the first
// request. Only those are counted together: the sum is never too high. Merged grants count from the
// earliest of their requests, and so drop out too early, never too late.
type window struct {
	length time.Duration
	limit  int64
	grants []grant // in the order of their requests; those before head have dropped out
	head   int
	latest time.Duration // the latest answer
	sum    int64         // of the grants in the window that ends at the latest answer
	most   int64         // the largest sum so far
}

// grant is the cost that was granted to requests sent at one instant.
type grant struct {
	asked time.Duration
	cost  int64
}

// add counts a grant. It reports whether this is the first to exceed the limit.
func (w *window) add(asked, answered time.Duration, cost int64) (exceeded bool) {
	w.latest = max(w.latest, answered)
	w.dropOld()
	if asked <= w.latest-w.length {
		return false
	}
	// Answers come almost in the order of their requests, so this loop is short.
	k := len(w.grants)
	for k > w.head && w.grants[k-1].asked > asked {
		k--
	}
	w.grants = slices.Insert(w.grants, k, grant{asked, cost})
	w.sum += cost
	if len(w.grants)-w.head > 2*resolution {
		w.merge()
	}
	exceeded = w.sum > w.limit && w.most <= w.limit
	w.most = max(w.most, w.sum)
	return exceeded
}

// dropOld drops the grants that are too old for the window.
func (w *window) dropOld() {
	for w.head < len(w.grants) && w.grants[w.head].asked <= w.latest-w.length {
		w.sum -= w.grants[w.head].cost
		w.head++
	}
	if w.head > len(w.grants)/2 {
		w.grants = slices.Delete(w.grants, 0, w.head)
		w.head = 0
	}
}

// remove takes back what a request was granted, unless it has dropped out.
func (w *window) remove(asked time.Duration, cost int64) {
	k := len(w.grants) - 1
	for k >= w.head && w.grants[k].asked > asked {
		k--
	}
	if k < w.head {
		return
	}
	w.grants[k].cost -= cost
	w.sum -= cost
}

// merge joins the grants whose requests were sent in the same part of the window.
func (w *window) merge() {
	part := w.length / resolution
	kept := w.head
	for k := w.head + 1; k < len(w.grants); k++ {
		if g := w.grants[k]; g.asked/part == w.grants[kept].asked/part {
			w.grants[kept].cost += g.cost
		} else {
			kept++
			w.grants[kept] = g
		}
	}
	w.grants = w.grants[:kept+1]
}
