package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// callerOf is the environment variable that makes this program a caller: the URL, the account, how
// many slots to take, and for how many seconds.
const callerOf = "SLUICE_FIDELITY_CALLER"

// caller is the process that takes slots, says until when it has them, and waits to be killed.
func caller() (is bool, err error) {
	what := strings.Fields(os.Getenv(callerOf))
	if len(what) != 4 {
		return false, nil
	}
	client, err := newClient(what[0])
	if err != nil {
		return true, err
	}
	a := &account{process: &process{url: what[0], client: client}, name: what[1]}
	n, err := strconv.Atoi(what[2])
	if err != nil {
		return true, err
	}
	ttl, err := strconv.Atoi(what[3])
	if err != nil {
		return true, err
	}
	for range n {
		d, err := a.check(context.Background(), 1, ttl)
		if err != nil {
			return true, err
		}
		if !d.allowed() {
			return true, fmt.Errorf("the check was denied: %+v", d.CheckResponse)
		}
		fmt.Println(d.Reservation.ExpiresAt.UnixMilli())
	}
	_, err = bufio.NewReader(os.Stdin).ReadByte() // which never comes
	return true, err
}

// startCaller starts one and returns the deadlines of its slots, once it has them.
func startCaller(ctx context.Context, a *account, n, ttl int) (*exec.Cmd, []time.Time, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %s %d %d", callerOf, a.url, a.name, n, ttl))
	cmd.Stderr = os.Stderr
	if _, err := cmd.StdinPipe(); err != nil {
		return nil, nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	var deadlines []time.Time
	lines := bufio.NewScanner(out)
	for len(deadlines) < n && lines.Scan() {
		millis, err := strconv.ParseInt(lines.Text(), 10, 64)
		if err != nil {
			return nil, nil, errors.Join(err, cmd.Process.Kill())
		}
		deadlines = append(deadlines, time.UnixMilli(millis))
	}
	if len(deadlines) < n {
		return nil, nil, errors.Join(errors.New("a caller ended before it had its slots"), cmd.Wait())
	}
	return cmd, deadlines, nil
}

const (
	callers        = 5
	slotsPerCaller = 4
	callerTTL      = 5 // seconds
)

// killed kills callers that hold slots, with SIGKILL, and watches what becomes of the slots.
func killed(ctx context.Context, p *process) ([]row, error) {
	const slots = callers * slotsPerCaller
	accounts, err := p.enforce(ctx, "killed", []limits{{minute: slots}})
	if err != nil {
		return nil, err
	}
	deadlines, err := startAndKill(ctx, accounts[0])
	if err != nil {
		return nil, err
	}
	w, err := watchSlots(ctx, accounts[0], deadlines[0], deadlines[slots-1])
	if err != nil {
		return nil, err
	}
	r := row{
		what:  "slots held after the callers that hold them were killed",
		ideal: "held until the deadline, then counted as sent for one window; 0 leaked",
		how: fmt.Sprintf("%d processes take %d slots each for %d s and are killed with SIGKILL; the "+
			"account's usage, four times a second",
			callers, slotsPerCaller, callerTTL),
		measured: fmt.Sprintf("%s; **%d leaked**", w.timeline(), w.leaked),
		meaning: "Nobody has to clean up after a caller that died: its slots count as sent from their " +
			"deadline on, since the mails may have left, and are free one " +
			"window later, to the last one.",
	}
	switch {
	case w.leaked > 0:
		r.broken = fmt.Sprintf("%d slots were still held a window after their deadline", w.leaked)
	case w.early > 0:
		r.broken = fmt.Sprintf("%d slots were free before a window had passed since their deadline",
			w.early)
	}
	return []row{r}, nil
}

// startAndKill starts the callers, and kills them once they have their slots. It returns the
// deadlines, sorted.
func startAndKill(ctx context.Context, a *account) ([]time.Time, error) {
	group, ctx := errgroup.WithContext(ctx)
	until := make([][]time.Time, callers)
	for i := range until {
		group.Go(func() error {
			cmd, deadlines, err := startCaller(ctx, a, slotsPerCaller, callerTTL)
			if err != nil {
				return err
			}
			until[i] = deadlines
			err = cmd.Process.Kill()
			_ = cmd.Wait() // which tells that it was killed
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	deadlines := slices.Concat(until...)
	slices.SortFunc(deadlines, time.Time.Compare)
	return deadlines, nil
}

// watch is what became of the slots.
type watch struct {
	samples       []sample
	leaked, early int64
}

// sample is the usage at a time since the first deadline.
type sample struct {
	held, counted int64
	at            time.Duration
}

// watchSlots samples the usage until a little after the last slot must be free.
func watchSlots(ctx context.Context, a *account, first, last time.Time) (w watch, err error) {
	// The API rounds deadlines down to the millisecond.
	free := last.Add(time.Minute + time.Millisecond)
	for {
		sent := time.Now()
		u, err := a.usage(ctx)
		if err != nil {
			return w, err
		}
		now := sample{u.InFlight, u.Windows[0].Used, time.Since(first)}
		w.samples = append(w.samples, now)
		if now.at < time.Minute {
			w.early = max(w.early, callers*slotsPerCaller-now.held-now.counted)
		}
		if sent.After(free) {
			w.leaked = now.held + now.counted
			return w, nil
		}
		pause := 250 * time.Millisecond
		if left := time.Until(free); left > 0 {
			pause = min(pause, left+time.Millisecond)
		}
		if err := sleep(ctx, pause); err != nil {
			return w, err
		}
	}
}

// timeline tells the usage at some times: the last sample until then.
func (w *watch) timeline() string {
	var parts []string
	for _, at := range []time.Duration{-time.Second, time.Second, 30 * time.Second, 59 * time.Second,
		61 * time.Second} {
		n := 0
		for n+1 < len(w.samples) && w.samples[n+1].at <= at {
			n++
		}
		parts = append(parts,
			fmt.Sprintf("%+.0f s: %d/%d", at.Seconds(), w.samples[n].held, w.samples[n].counted))
	}
	return "held/counted, from the first deadline: " + strings.Join(parts, ", ")
}
