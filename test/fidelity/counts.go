package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sluice-mail/sluice/api/httpv1"
)

// denied fills accounts and asks for more, in vain.
func denied(ctx context.Context, p *process) ([]row, error) {
	const perAccount = 1000
	accounts, err := p.enforce(ctx, "denied",
		[]limits{{10, 1000, 10000}, {1000, 10, 10000}, {1000, 10000, 10}, {10, 10, 10}})
	if err != nil {
		return nil, err
	}
	var charged int64
	for _, a := range accounts {
		if _, err := a.fill(ctx, 10); err != nil {
			return nil, err
		}
		before, err := a.usage(ctx)
		if err != nil {
			return nil, err
		}
		group, inGroup := errgroup.WithContext(ctx)
		for range 4 {
			group.Go(func() error { return a.askInVain(inGroup, perAccount/4) })
		}
		if err := group.Wait(); err != nil {
			return nil, err
		}
		after, err := a.usage(ctx)
		if err != nil {
			return nil, err
		}
		charged += used(after) - used(before)
	}
	r := row{
		what: "quota charged by denied checks", ideal: "0",
		how: fmt.Sprintf("%d denied checks of random costs on %d full accounts, one per window that is "+
			"exhausted and one where all are; usage of all three windows before and after",
			perAccount*len(accounts), len(accounts)),
		measured: fmt.Sprintf("**%d**", charged),
		meaning:  "A denied check leaves no trace, also not in the windows that had room.",
	}
	if charged != 0 {
		r.broken = fmt.Sprintf("denied checks were charged %d", charged)
	}
	return []row{r}, nil
}

func (a *account) askInVain(ctx context.Context, times int) error {
	for range times {
		d, err := a.check(ctx, 1+rand.IntN(10), 0)
		if err != nil {
			return err
		}
		if d.allowed() {
			return fmt.Errorf("%s is full, and a check was allowed", a.name)
		}
	}
	return nil
}

// used is what counts in all windows together, and is in flight.
func used(u httpv1.Usage) (n int64) {
	for _, w := range u.Windows {
		n += w.Used + u.InFlight
	}
	return n
}

// overshoot has 50 callers check at once. All take long to send, and the denied ones check again.
func overshoot(ctx context.Context, p *process) ([]row, error) {
	const limit, callers = 10, 50
	accounts, err := p.enforce(ctx, "overshoot", make10(limits{minute: limit}))
	if err != nil {
		return nil, err
	}
	most := 0
	for _, a := range accounts {
		var box outbox
		group, ctx := errgroup.WithContext(ctx)
		begin := time.Now().Add(50 * time.Millisecond)
		for range callers {
			group.Go(func() error {
				if err := sleep(ctx, time.Until(begin)); err != nil {
					return err
				}
				for time.Since(begin) < 2*time.Second {
					d, err := box.send(ctx, a, 1, 30, slow{before: 3 * time.Second})
					if err != nil || d.allowed() {
						return err
					}
					if err := sleep(ctx, 100*time.Millisecond); err != nil {
						return err
					}
				}
				return nil
			})
		}
		if err := group.Wait(); err != nil {
			return nil, err
		}
		most = max(most, box.fullest(time.Minute))
	}
	r := row{
		what: "overshoot with 50 concurrent slow sends at limit 10", ideal: "0",
		how: fmt.Sprintf("on each of %d accounts 50 callers check at the same instant, and again every "+
			"100 ms while denied; what is allowed takes 3 s to leave",
			len(accounts)),
		measured: fmt.Sprintf("**%d** (at most %d were sent)", most-limit, most),
		meaning:  "The check takes the slot, not the send. So mails that are still on their way count.",
	}
	if most != limit {
		r.broken = fmt.Sprintf("%d were sent", most)
	}
	return []row{r}, nil
}

func make10(l limits) (of []limits) {
	for range 10 {
		of = append(of, l)
	}
	return of
}

// change is a limit that changes from one value to another after some were sent.
type change struct{ from, sent, to int }

// changes moves limits up and down in the middle of a window.
func changes(ctx context.Context, p *process) ([]row, error) {
	raised := []change{{1, 1, 2}, {10, 6, 20}, {10, 10, 11}, {20, 20, 50}, {5, 0, 9}, {30, 29, 60}}
	lowered := []change{{20, 12, 8}, {10, 10, 1}, {50, 30, 29}, {6, 6, 5}, {40, 20, 10}, {3, 3, 2}}
	all := slices.Concat(raised, lowered)
	accounts, err := p.enforce(ctx, "changes", limitsOfChanges(all, false))
	if err != nil {
		return nil, err
	}
	sent := make([][]span, len(all))
	for i, a := range accounts {
		if sent[i], err = a.fill(ctx, all[i].sent); err != nil {
			return nil, err
		}
	}
	if accounts, err = p.enforce(ctx, "changes", limitsOfChanges(all, true)); err != nil {
		return nil, err
	}
	group, ctx := errgroup.WithContext(ctx)
	off := make([]int, len(all))
	for i, a := range accounts {
		group.Go(func() (err error) {
			if all[i].to > all[i].from {
				off[i], err = a.offAfterRaise(ctx, all[i])
			} else {
				off[i], err = a.offAfterLower(ctx, all[i], sent[i])
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	total := 0
	for _, n := range off {
		total += n
	}
	r := row{
		what: "slots off after a limit changed in the middle of a window", ideal: "0",
		how: fmt.Sprintf("%d accounts: after a raise, what is admitted at once against the new limit "+
			"less what was sent; after a cut, what is admitted before enough has "+
			"left the window, and not at the promised instant", len(all)),
		measured: fmt.Sprintf("**%d**", total),
		meaning: "A new limit is compared with what was really sent. A raise admits exactly the " +
			"difference at once; a cut forgives nothing and forgets nothing.",
	}
	if total != 0 {
		r.broken = fmt.Sprintf("%d slots were off", total)
	}
	return []row{r}, nil
}

func limitsOfChanges(all []change, after bool) (of []limits) {
	for _, c := range all {
		n := c.from
		if after {
			n = c.to
		}
		of = append(of, limits{minute: n})
	}
	return of
}

// offAfterRaise sends as much as it can at once.
func (a *account) offAfterRaise(ctx context.Context, c change) (off int, err error) {
	admitted := 0
	for range c.to + 5 {
		d, _, err := a.send(ctx, 1)
		if err != nil {
			return 0, err
		}
		if d.allowed() {
			admitted++
		}
	}
	return abs(admitted - (c.to - c.sent)), nil
}

// offAfterLower asks until the first check is admitted. That must be when so much has left the
// window that one more fits below the new limit, as promised.
func (a *account) offAfterLower(ctx context.Context, c change, sent []span) (off int, err error) {
	d, err := a.check(ctx, 1, 0)
	if err != nil {
		return 0, err
	}
	if d.allowed() {
		return 1, nil
	}
	// The last one that must leave; it did so a minute after the instant of its commit.
	last := sent[c.sent-c.to]
	promised := d.DeferredUntil.Time
	if promised.Before(last.sent.Add(time.Minute)) ||
		promised.After(last.answered.Add(time.Minute+time.Millisecond)) {
		off++
	}
	for {
		if err := sleep(ctx, min(time.Second, time.Until(promised))); err != nil {
			return 0, err
		}
		next, err := a.check(ctx, 1, 0)
		switch {
		case err != nil:
			return 0, err
		case next.allowed() && next.answered.Before(last.sent.Add(time.Minute)):
			return off + 1, nil // too early
		case !next.allowed() && !next.sent.Before(promised):
			return off + 1, nil // too late
		case next.allowed():
			return off, nil
		}
	}
}

func abs(n int) int { return max(n, -n) }
