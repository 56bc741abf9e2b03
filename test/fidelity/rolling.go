package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"golang.org/x/sync/errgroup"
)

// rollingTime is for how long the rolling windows are loaded: a little over two of them.
const rollingTime = 130 * time.Second

// strategy is a way to send until the context ends.
type strategy func(ctx context.Context, a *account, o *outbox) error

// roll loads each account with its strategy. It returns how full the fullest minutes got.
func roll(
	ctx context.Context, p *process, measure string, of []limits, strategies []strategy,
) (most, least float64, mails int, err error) {
	accounts, err := p.enforce(ctx, measure, of)
	if err != nil {
		return 0, 0, 0, err
	}
	until, cancel := context.WithTimeout(ctx, rollingTime)
	defer cancel()
	group, until := errgroup.WithContext(until)
	boxes := make([]outbox, len(accounts))
	for i, a := range accounts {
		group.Go(func() error {
			err := strategies[i%len(strategies)](until, a, &boxes[i])
			if until.Err() != nil {
				return nil // the time is over, and what was under way is cut off
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return 0, 0, 0, err
	}
	least = 1e9
	for i, a := range accounts {
		full := float64(boxes[i].fullest(time.Minute)) / float64(a.minute)
		most, least = max(most, full), min(least, full)
		mails += len(boxes[i].mails)
	}
	return most, least, mails, ctx.Err()
}

func rollingRow(load, how string, most, least float64, mails int) row {
	r := row{
		what: "most sent in any rolling minute ÷ limit, " + load, how: how,
		ideal: "≤ 1",
		measured: fmt.Sprintf("**%.3f**, and no less than %.3f on any account (%d mails)",
			most, least, mails),
	}
	if most > 1 {
		r.broken = fmt.Sprintf("%.3f of the limit left within one minute", most)
	}
	return r
}

func rollingRandom(ctx context.Context, p *process) ([]row, error) {
	var of []limits
	for _, n := range []int{1, 2, 3, 5, 8, 10, 15, 20, 30, 40, 60, 100} {
		of = append(of, limits{minute: n})
	}
	most, least, mails, err := roll(ctx, p, "random", of, []strategy{atRandom})
	r := rollingRow("random load", fmt.Sprintf("%d accounts with limits of 1 to 100 a minute, asked "+
		"for three times as much at random for %s; mails leave up to "+
		"seconds after their check and are committed up to seconds later, some are released, some "+
		"callers die", len(of), rollingTime), most, least, mails)
	r.meaning = "A provider that counts the mails as they leave never sees more than the limit in " +
		"sixty seconds, whichever sixty seconds it looks at."
	return []row{r}, err
}

// atRandom asks for three times the limit. Of the mails one in ten does not leave, and one in
// thirty leaves from a caller that then dies.
func atRandom(ctx context.Context, a *account, o *outbox) error {
	group, ctx := errgroup.WithContext(ctx)
	const callers, ttl = 4, 30
	for range callers {
		group.Go(func() error {
			for {
				if err := sleep(ctx, exponential(callers*time.Minute/time.Duration(3*a.minute))); err != nil {
					return err
				}
				cost := 1
				if a.minute >= 10 {
					cost += rand.IntN(3)
				}
				group.Go(func() error { return one(ctx, a, o, cost, ttl) })
			}
		})
	}
	return group.Wait()
}

// one asks once. Of thirty mails that are allowed, three are released, and one is sent by a caller
// that then dies.
func one(ctx context.Context, a *account, o *outbox, cost, ttl int) error {
	s := slow{exponential(500 * time.Millisecond), exponential(500 * time.Millisecond)}
	switch rand.IntN(30) {
	case 0, 1, 2:
		d, err := a.check(ctx, cost, ttl)
		if err != nil || !d.allowed() {
			return err
		}
		if err := sleep(ctx, s.before); err != nil {
			return err
		}
		return a.release(ctx, &d)
	case 3:
		d, err := a.check(ctx, cost, 5)
		if err == nil && d.allowed() {
			o.left(cost)
		}
		return err
	default:
		_, err := o.send(ctx, a, cost, ttl, s)
		return err
	}
}

func rollingAdversarial(ctx context.Context, p *process) ([]row, error) {
	strategies := []strategy{aroundTheClock, atThePromise, heldLong}
	of := make([]limits, 4*len(strategies))
	for i := range of {
		of[i] = limits{minute: 10 + 10*(i%4)}
	}
	most, least, mails, err := roll(ctx, p, "adversarial", of, strategies)
	r := rollingRow("adversarial load", fmt.Sprintf("%d accounts, for %s: bursts on both sides of "+
		"each minute of the clock; ten callers at a time around each promised "+
		"instant; slots held for seconds, with mails that leave at once or at the last moment", len(of),
		rollingTime), most, least, mails)
	r.meaning = "No instant lets one more mail through: not the edge of the clock's minute, not the " +
		"instant at which a slot frees, and not a slow send."
	return []row{r}, err
}

// hammer lets ten callers ask without a pause until an instant. What is allowed leaves and is
// committed at once.
func hammer(ctx context.Context, a *account, o *outbox, until time.Time) error {
	group, ctx := errgroup.WithContext(ctx)
	for range 10 {
		group.Go(func() error {
			for time.Now().Before(until) {
				if _, err := o.send(ctx, a, 1, 30, slow{}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// aroundTheClock asks shortly before each minute of the clock ends and shortly after.
func aroundTheClock(ctx context.Context, a *account, o *outbox) error {
	for {
		edge := time.Now().Truncate(time.Minute).Add(time.Minute)
		for _, at := range []time.Duration{-500 * time.Millisecond, -20 * time.Millisecond,
			100 * time.Millisecond, 500 * time.Millisecond} {
			if err := sleep(ctx, time.Until(edge.Add(at))); err != nil {
				return err
			}
			if err := hammer(ctx, a, o, time.Now().Add(60*time.Millisecond)); err != nil {
				return err
			}
		}
	}
}

// atThePromise asks around each instant that a denial promises.
func atThePromise(ctx context.Context, a *account, o *outbox) error {
	for {
		d, err := o.send(ctx, a, 1, 30, slow{})
		if err != nil {
			return err
		}
		if d.allowed() {
			continue
		}
		if err := sleep(ctx, time.Until(d.DeferredUntil.Add(-10*time.Millisecond))); err != nil {
			return err
		}
		if err := hammer(ctx, a, o, d.DeferredUntil.Add(10*time.Millisecond)); err != nil {
			return err
		}
	}
}

// heldLong holds slots for four seconds, with mails that leave at the start of that or at the end.
func heldLong(ctx context.Context, a *account, o *outbox) error {
	group, ctx := errgroup.WithContext(ctx)
	for range 2 * a.minute {
		group.Go(func() error {
			for {
				s := slow{0, 4 * time.Second}
				if rand.IntN(2) == 0 {
					s = slow{4 * time.Second, 0}
				}
				d, err := o.send(ctx, a, 1, 30, s)
				if err != nil {
					return err
				}
				pause := time.Duration(rand.Int64N(int64(time.Second)))
				if !d.allowed() {
					pause = time.Until(d.DeferredUntil.Time)
				}
				if err := sleep(ctx, pause); err != nil {
					return err
				}
			}
		})
	}
	return group.Wait()
}
