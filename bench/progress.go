package bench

import (
	"fmt"
	"io"
	"time"
)

// Progress says where and how often to write the progress of a run. The zero value writes nothing.
type Progress struct {
	To    io.Writer
	Every time.Duration
}

// show writes the progress, one line at a time, until stop is called.
func (r *run) show(p Progress) (stop func()) {
	if p.To == nil || p.Every <= 0 {
		return func() {}
	}
	ended, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(p.Every)
		defer tick.Stop()
		var before soFar
		last := time.Now()
		for {
			select {
			case <-ended:
				return
			case now := <-tick.C:
				counts := r.stats.soFar()
				_, _ = fmt.Fprintln(p.To, r.progressLine(now, now.Sub(last), before, counts))
				before, last = counts, now
			}
		}
	}()
	return func() { close(ended); <-done }
}

// progressLine has the rates since the last line, and the problems since the start.
func (r *run) progressLine(now time.Time, since time.Duration, before, counts soFar) string {
	perSecond := func(n int64) string { return thousands(float64(n) / since.Seconds()) }
	line := fmt.Sprintf("%4.0f s  %9s checks/s  %9s requests/s  %9s allowed/s",
		now.Sub(r.pacer.start).Seconds(),
		perSecond(counts.checks-before.checks),
		perSecond(counts.requests-before.requests),
		perSecond(counts.allowed-before.allowed))
	if counts.problems > 0 {
		line += fmt.Sprintf("  %s problems", thousands(float64(counts.problems)))
	}
	if n := r.stats.exceeded.Load(); n > 0 {
		line += fmt.Sprintf("  %d LIMITS EXCEEDED", n)
	}
	return line
}

// thousands writes a number without a fraction, in groups of three digits.
func thousands(n float64) string {
	text := fmt.Sprintf("%.0f", n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
