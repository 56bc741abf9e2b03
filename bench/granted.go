package bench

import (
	"slices"
	"time"
)

// resolution bounds the memory of a window: up to twice as many grants are kept apart, above it those within
// 1/resolution of the window's length merge.
const resolution = 2048

// window counts what an account was granted in any window of a length.
//
// The server granted at some instant between a request and its answer. So a set of grants certainly lies within a
// window if the last answer is less than the window's length after the first request. Only such sets are counted: what is
// counted too much was granted too much. What is merged moves to the earlier request, and leaves its window too early.
type window struct {
	length time.Duration
	limit  int64
	grants []grant // in the order of their requests; those before head have left
	head   int
	latest time.Duration // the latest answer
	sum    int64         // of the grants in the window that ends at the latest answer
	most   int64         // the largest sum there was
}

// grant is the cost that requests at an instant were granted.
type grant struct {
	asked time.Duration
	cost  int64
}

// add counts a grant and says whether it is the first to exceed the limit.
func (w *window) add(asked, answered time.Duration, cost int64) (exceeded bool) {
	w.latest = max(w.latest, answered)
	w.leave()
	if asked <= w.latest-w.length {
		return false
	}
	// Answers come almost in the order of their requests: this looks at the last few.
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

// leave takes out of the window what is too old for it.
func (w *window) leave() {
	for w.head < len(w.grants) && w.grants[w.head].asked <= w.latest-w.length {
		w.sum -= w.grants[w.head].cost
		w.head++
	}
	if w.head > len(w.grants)/2 {
		w.grants = slices.Delete(w.grants, 0, w.head)
		w.head = 0
	}
}

// remove takes back what was granted to a request.
func (w *window) remove(asked time.Duration, cost int64) {
	k := len(w.grants) - 1
	for k >= w.head && w.grants[k].asked > asked {
		k--
	}
	if k < w.head {
		return // it has left
	}
	w.grants[k].cost -= cost
	w.sum -= cost
}

// merge makes one of the grants that were asked for in the same part of the window.
func (w *window) merge() {
	cell := w.length / resolution
	kept := w.head
	for k := w.head + 1; k < len(w.grants); k++ {
		if g := w.grants[k]; g.asked/cell == w.grants[kept].asked/cell {
			w.grants[kept].cost += g.cost
		} else {
			kept++
			w.grants[kept] = g
		}
	}
	w.grants = w.grants[:kept+1]
}
