package main

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
)

// The accounts ask one after the other, so that their checks seldom meet.
const (
	promised      = 240
	promisedEvery = 150 * time.Millisecond
)

// promise is what became of one deferredUntil.
type promise struct {
	// off is the promise less the first instant of admission. That is taken as the middle of the
	// first check that was admitted.
	off time.Duration
	// seen reports whether off is exact: whether the first admitted check was answered within
	// maxBracket of when the last denied one was sent. On a busy machine that may fail.
	seen bool
	// early reports whether a check was admitted and answered more than a millisecond before the
	// promise. The promise is rounded up to the next millisecond, and was too late by more than that.
	early bool
	// late reports whether a check was denied that was sent at the promised instant or after it.
	late bool
}

const (
	maxBracket = 3 * time.Millisecond // three steps
	givenUp    = time.Second          // after the promised instant, if there is no admission at all
)

// promises asks around the instants that denials promise.
func promises(ctx context.Context, p *process) ([]row, error) {
	of := make([]limits, promised)
	for i := range of {
		of[i] = limits{minute: 1 + i%3}
	}
	accounts, err := p.enforce(ctx, "promise", of)
	if err != nil {
		return nil, err
	}
	group, ctx := errgroup.WithContext(ctx)
	got := make([]promise, len(accounts))
	for i, a := range accounts {
		group.Go(func() (err error) {
			if err := sleep(ctx, time.Duration(i)*promisedEvery); err != nil {
				return err
			}
			got[i], err = a.promise(ctx)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return []row{promiseRow(got)}, nil
}

func promiseRow(got []promise) row {
	off := []time.Duration{}
	early, late := 0, 0
	for _, p := range got {
		if p.seen {
			off = append(off, p.off.Abs())
		}
		if p.early {
			early++
		}
		if p.late {
			late++
		}
	}
	slices.Sort(off)
	r := row{
		what: "promised less actual first instant of admission", ideal: "0, to the millisecond",
		how: fmt.Sprintf("%d full accounts, one after the other; a check every millisecond from 5 ms "+
			"before `deferredUntil` until one is admitted, of which the middle between request and "+
			"answer is taken, where that and the last denied one are at most %s apart",
			len(got), maxBracket),
		measured: fmt.Sprintf("p50 **%s**, p99 **%s**, max **%s**, either way (%d of %d: for the "+
			"others the machine was too busy); of all, **%d** denied at the promised instant, "+
			"**%d** admitted a millisecond before",
			ms(quantile(off, 0.5)), ms(quantile(off, 0.99)), ms(quantile(off, 1)),
			len(off), len(got), late, early),
		meaning: "A caller that comes back at `deferredUntil` is admitted, and one that comes a " +
			"millisecond earlier is not. The rest is the step of a millisecond and the time of a request.",
	}
	switch {
	case late > 0:
		r.broken = fmt.Sprintf("%d checks at the promised instant were denied", late)
	case early > 0:
		r.broken = fmt.Sprintf("%d checks were admitted more than a millisecond before the promised "+
			"instant", early)
	case len(off) < len(got)/2:
		r.broken = "the machine is too busy to tell"
	}
	return r
}

// promise fills the account, asks for more, and comes back when told.
func (a *account) promise(ctx context.Context) (p promise, err error) {
	if _, err := a.fill(ctx, a.minute); err != nil {
		return p, err
	}
	d, err := a.check(ctx, 1, 0)
	if err != nil {
		return p, err
	}
	if d.allowed() {
		return p, fmt.Errorf("%s is full, and a check was allowed", a.name)
	}
	until, denied := d.DeferredUntil.Time, d.sent
	for at := until.Add(-5 * time.Millisecond); ; at = at.Add(time.Millisecond) {
		if err := sleepExactly(ctx, at); err != nil {
			return p, err
		}
		if time.Since(at) > time.Millisecond {
			at = time.Now() // a check took longer than the step
		}
		asked, err := a.check(ctx, 1, 0)
		if err != nil {
			return p, err
		}
		if asked.allowed() {
			middle := asked.sent.Add(asked.answered.Sub(asked.sent) / 2)
			p.off, p.early = until.Sub(middle), asked.answered.Before(until.Add(-time.Millisecond))
			p.seen = asked.answered.Sub(denied) <= maxBracket
			return p, nil
		}
		denied = asked.sent
		if p.late = !asked.sent.Before(until); p.late && asked.sent.After(until.Add(givenUp)) {
			return p, nil
		}
	}
}

// sleepExactly sleeps until an instant. Go's timers can be a millisecond late, so it spins for the
// last two.
func sleepExactly(ctx context.Context, at time.Time) error {
	if err := sleep(ctx, time.Until(at.Add(-2*time.Millisecond))); err != nil {
		return err
	}
	for time.Now().Before(at) {
		runtime.Gosched()
	}
	return nil
}

// ms writes a duration in milliseconds.
func ms(d time.Duration) string {
	return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond))
}
