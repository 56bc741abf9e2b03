package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sluice-mail/sluice/client/sluice"
)

// victim is a Sluice that is killed and started again, at the same address. Its client repeats what
// was not answered.
type victim struct {
	*process
	binary string
	args   []string
	starts []time.Duration // how long the starts after kills took
}

// startVictim starts one with a journal.
func startVictim(ctx context.Context, binary string) (*victim, error) {
	folder, err := os.MkdirTemp("", "sluice-fidelity-")
	if err != nil {
		return nil, err
	}
	// Accounts are not looked for in subfolders.
	v, err := startVictimIn(ctx, binary, folder, "--data-dir", filepath.Join(folder, "journal"))
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(folder))
	}
	return v, nil
}

// startVictimIn starts one that takes its accounts from a folder.
func startVictimIn(
	ctx context.Context, binary, folder string, args ...string,
) (*victim, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	v := &victim{binary: binary, args: append([]string{
		"--accounts", folder, "--http-address", address,
	}, args...)}
	v.process, err = start(ctx, binary, nil, v.args...)
	if err != nil {
		return nil, err
	}
	v.folder = folder
	v.client, err = patientClient(v.url, &http.Transport{
		MaxIdleConnsPerHost: 1000, DisableCompression: true,
	})
	return v, err
}

// patientClient returns a client that repeats what was not answered.
func patientClient(url string, transport http.RoundTripper) (*sluice.Client, error) {
	return sluice.New(url, sluice.Options{
		Transport: transport,
		Retry: sluice.Retry{
			MaxAttempts: 1000, MinDelay: 10 * time.Millisecond, MaxDelay: 2 * time.Second,
		},
		UserAgent: "sluice-fidelity",
	})
}

// freeAddress is an address whose port the system gives to no client: a client of a process that is
// down could otherwise connect to itself, and keep the address.
func freeAddress() (string, error) {
	for range 1000 {
		address := fmt.Sprintf("127.0.0.1:%d", 20000+rand.IntN(10000))
		if l, err := net.Listen("tcp", address); err == nil {
			return address, l.Close()
		}
	}
	return "", errors.New("there is no free port")
}

// kill kills the process with SIGKILL and starts it again.
func (v *victim) kill(ctx context.Context) error {
	if err := v.cmd.Process.Kill(); err != nil {
		return err
	}
	_ = v.cmd.Wait() // which tells that it was killed
	began := time.Now()
	next, err := start(ctx, v.binary, nil, v.args...)
	if err != nil {
		return fmt.Errorf("a start after a kill: %w", err)
	}
	v.cmd = next.cmd
	v.starts = append(v.starts, time.Since(began))
	return nil
}

// killAgain kills it until the context ends, or so many times, after random pauses.
func (v *victim) killAgain(ctx context.Context, times int, least, most time.Duration) error {
	for range times {
		if sleep(ctx, least+rand.N(most-least)) != nil {
			return nil // it is enough
		}
		if err := v.kill(context.WithoutCancel(ctx)); err != nil {
			return err
		}
	}
	return nil
}

// startsText tells how long the starts took.
func (v *victim) startsText() string {
	slices.Sort(v.starts)
	return fmt.Sprintf("%d kills; serving again after %s, at most %s", len(v.starts),
		ms(quantile(v.starts, 0.5)), ms(quantile(v.starts, 1)))
}

// rollingKilled is as full as a minute gets if the process is killed every few seconds.
func rollingKilled(ctx context.Context, shared *process) ([]row, error) {
	v, err := startVictim(ctx, shared.cmd.Path)
	if err != nil {
		return nil, err
	}
	defer v.stop()
	var of []limits
	for _, n := range []int{2, 5, 10, 20, 30, 40, 60, 100} {
		of = append(of, limits{minute: n})
	}
	group, ctx := errgroup.WithContext(ctx)
	killing, enough := context.WithCancel(ctx)
	defer enough()
	group.Go(func() error {
		return v.killAgain(killing, 1<<30, time.Second, 5*time.Second)
	})
	var most, least float64
	var mails int
	group.Go(func() (err error) {
		defer enough()
		most, least, mails, err = roll(ctx, v.process, "restarts", of, []strategy{throughKills})
		return err
	})
	if err := group.Wait(); err != nil {
		return nil, err
	}
	r := rollingRow("with a kill -9 every few seconds", fmt.Sprintf("%d accounts with limits of 2 "+
		"to 100 a minute, for %s, on a Sluice with a journal that is killed with SIGKILL every 1 to 5 s "+
		"and started again; callers ask as often as they can, repeat what was not answered, and "+
		"send up to seconds later; some release, some die", len(of), rollingTime),
		most, least, mails)
	r.measured += "; " + v.startsText()
	r.meaning = "With a journal, a kill is nothing that a provider could notice: what was answered " +
		"is on the disk, and a caller that repeats a call counts once."
	return []row{r}, nil
}

// throughKills asks without end, also while nobody answers.
func throughKills(ctx context.Context, a *account, o *outbox) error {
	group, ctx := errgroup.WithContext(ctx)
	for range 6 {
		group.Go(func() error {
			for {
				// Without an answer the time is over, or too little is left to ask again.
				err := onceThroughKills(ctx, a, o)
				if err != nil && !errors.Is(err, sluice.ErrNoAnswer) &&
					!errors.Is(err, sluice.ErrNotReady) {
					return err
				}
				if err := sleep(ctx, 10*time.Millisecond); err != nil {
					return err
				}
			}
		})
	}
	return group.Wait()
}

// onceThroughKills asks for one mail. It is not sent if the answer came so late that the
// reservation has expired. Of thirty, three are released, and one is sent by a caller that then
// dies.
func onceThroughKills(ctx context.Context, a *account, o *outbox) error {
	d, err := a.check(ctx, 1, 5)
	if errors.Is(err, sluice.ErrReservationConflict) {
		return nil // it has expired before there was an answer
	}
	if err != nil || !d.allowed() {
		return err
	}
	if err := sleep(ctx, exponential(300*time.Millisecond)); err != nil {
		return err
	}
	what := rand.IntN(30)
	if what < 3 {
		err := a.release(ctx, &d)
		if errors.Is(err, sluice.ErrReservationConflict) {
			return nil // the same
		}
		return err
	}
	if !time.Now().Before(d.Reservation.ExpiresAt.Time) {
		return nil
	}
	o.left(1)
	if what == 3 {
		return nil
	}
	if err := sleep(ctx, exponential(300*time.Millisecond)); err != nil {
		return err
	}
	_, err = a.commit(ctx, &d)
	return err
}

// forgotten kills the process in the middle of calls, and compares what it acknowledged with what
// it counts in the end.
func forgotten(ctx context.Context, shared *process) ([]row, error) {
	const kills = 20
	v, err := startVictim(ctx, shared.cmd.Path)
	if err != nil {
		return nil, err
	}
	defer v.stop()
	accounts, err := v.enforce(ctx, "forgotten", make10(limits{}))
	if err != nil {
		return nil, err
	}
	group, inGroup := errgroup.WithContext(ctx)
	var enough atomic.Bool
	acknowledged := make([]atomic.Int64, len(accounts))
	for i, a := range accounts {
		group.Go(func() error { return a.sendUntil(inGroup, &enough, &acknowledged[i]) })
	}
	group.Go(func() error {
		defer enough.Store(true)
		return v.killAgain(inGroup, kills, 100*time.Millisecond, time.Second)
	})
	if err := group.Wait(); err != nil {
		return nil, err
	}
	var lost, twice, all int64
	for i, a := range accounts {
		u, err := a.usage(ctx)
		if err != nil {
			return nil, err
		}
		counts, want := u.InFlight+u.Windows[len(u.Windows)-1].Used, acknowledged[i].Load()
		lost, twice, all = lost+max(0, want-counts), twice+max(0, counts-want), all+want
	}
	r := row{
		what: fmt.Sprintf("sends forgotten by %d kills", kills), ideal: "0",
		how: fmt.Sprintf("%d callers check without a pause on a Sluice with a journal, commit every "+
			"other one, and repeat what was not answered; it is killed with SIGKILL %d times and "+
			"started again; the checks that were allowed against the usage in the end",
			len(accounts), kills),
		measured: fmt.Sprintf("**%d** of %d, and **%d** counted twice; %s", lost, all, twice,
			v.startsText()),
		meaning: "An Allow is answered once it is on the disk. A commit that was lost leaves its " +
			"reservation, which counts as well.",
	}
	if lost+twice > 0 {
		r.broken = fmt.Sprintf("%d sends were forgotten, %d counted twice", lost, twice)
	}
	return []row{r}, nil
}

// sendUntil checks, and counts what was allowed. Every other one is committed: of the rest, the
// reservation alone tells.
func (a *account) sendUntil(ctx context.Context, enough *atomic.Bool, n *atomic.Int64) error {
	for commits := false; !enough.Load(); commits = !commits {
		d, err := a.check(ctx, 1, 60)
		if err != nil {
			return err
		}
		n.Add(1)
		if !commits {
			continue
		}
		if _, err := a.commit(ctx, &d); err != nil {
			return err
		}
	}
	return nil
}
