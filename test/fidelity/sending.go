package main

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// mail is one that has left, as its provider sees it.
type mail struct {
	at   time.Time
	cost int
}

// outbox is the mails of one account.
type outbox struct {
	mu    sync.Mutex
	mails []mail
}

func (o *outbox) left(cost int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.mails = append(o.mails, mail{time.Now(), cost})
}

// fullest is the largest cost that left in any window of a length, wherever the window begins. No
// window holds two mails that are a whole length apart.
func (o *outbox) fullest(length time.Duration) (most int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	slices.SortFunc(o.mails, func(a, b mail) int { return a.at.Compare(b.at) })
	sum, first := 0, 0
	for _, m := range o.mails {
		sum += m.cost
		for m.at.Sub(o.mails[first].at) >= length {
			sum -= o.mails[first].cost
			first++
		}
		most = max(most, sum)
	}
	return most
}

// slow is how a mail is sent: how long after the check it leaves, and how long after that it is
// committed.
type slow struct{ before, after time.Duration }

// send asks once and, if that is allowed, sends. The slot is held for ttl seconds, which must be
// more than it takes.
func (o *outbox) send(ctx context.Context, a *account, cost, ttl int, s slow) (decision, error) {
	d, err := a.check(ctx, cost, ttl)
	if err != nil || !d.allowed() {
		return d, err
	}
	if err := sleep(ctx, s.before); err != nil {
		return d, err
	}
	o.left(cost)
	if err := sleep(ctx, s.after); err != nil {
		return d, err
	}
	_, err = a.commit(ctx, &d)
	return d, err
}

// exponential is a random time with this mean, as between independent events. It is at most ten
// times the mean.
func exponential(mean time.Duration) time.Duration {
	return min(time.Duration(rand.ExpFloat64()*float64(mean)), 10*mean)
}

// quantile is that of a sorted list: 0.99 for p99. It is rounded up, so 1 is the largest. For an
// empty list it is zero.
func quantile[T cmp.Ordered](sorted []T, q float64) (none T) {
	if len(sorted) == 0 {
		return none
	}
	return sorted[max(0, int(float64(len(sorted))*q+0.999999)-1)]
}
