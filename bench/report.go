package bench

import (
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/sluice-mail/sluice/api/httpv1"
)

// Report is what a run has shown. Its JSON is stable.
type Report struct {
	URL         string  `json:"url"`
	Accounts    int     `json:"accounts"`
	Connections int     `json:"connections"`
	Batch       int     `json:"batch"`
	Rate        float64 `json:"rate"`
	// DurationMillis is the time until the last answer.
	DurationMillis    int64   `json:"durationMillis"`
	ChecksPerSecond   float64 `json:"checksPerSecond"`
	RequestsPerSecond float64 `json:"requestsPerSecond"`
	Checks            int64   `json:"checks"`
	// Requests are the HTTP requests, of check, commit and release.
	Requests map[string]int64 `json:"requests"`
	// Decisions are the checks that were answered, by Decision.
	Decisions map[string]int64 `json:"decisions"`
	// Outcomes are the commits and releases that were answered, by Outcome.
	Outcomes map[string]int64 `json:"outcomes"`
	// Problems are counted by the name of their type. "no answer", "unreadable answer" and such as
	// "status 502" are answers that are not Sluice's. A problem of a whole batch counts once.
	Problems map[string]int64 `json:"problems"`
	// Unsent is how many requests were due and never sent, for lack of a free connection.
	Unsent int64 `json:"unsent"`
	// LatencyFrom is Due with a rate: the latency includes the wait for a connection, as callers
	// would see it. Without a rate it is Sent: the latency is the time from sending to the answer.
	LatencyFrom string `json:"latencyFrom"`
	// Latency is of the requests of check, commit and release.
	Latency map[string]Percentiles `json:"latency"`
	// TimerLate is how late the generator's own timers were. The latency does not include it.
	TimerLate Percentiles `json:"timerLate"`
	Limits    Limits      `json:"limits"`
	// Notes are what else a reader should know.
	Notes []string `json:"notes"`
}

// The values of Report.LatencyFrom.
const (
	Due  = "Due"
	Sent = "Sent"
)

func (r *run) report(elapsed time.Duration, limits Limits) *Report {
	s := r.stats
	report := &Report{
		URL: r.config.URL, Accounts: len(r.accounts), Connections: r.config.Connections,
		Batch: r.config.Batch, Rate: r.config.Rate,
		DurationMillis: elapsed.Milliseconds(), Checks: s.checks,
		Requests: map[string]int64{}, Decisions: s.decisions, Outcomes: s.outcomes, Problems: s.problems,
		Unsent: r.pacer.unsent(), LatencyFrom: Due, Latency: map[string]Percentiles{},
		TimerLate: percentiles(s.timerLate), Limits: limits, Notes: r.notes,
	}
	if report.Rate == 0 {
		report.LatencyFrom = Sent
	}
	var requests int64
	for v, n := range s.requests {
		requests += n
		report.Requests[verb(v).String()] = n
		report.Latency[verb(v).String()] = percentiles(s.latency[v])
	}
	for _, kind := range []string{httpv1.Allow, httpv1.Defer, httpv1.Reject} {
		report.Decisions[kind] += 0 // a kind that did not come is told, too
	}
	report.ChecksPerSecond = math.Round(float64(s.checks) / elapsed.Seconds())
	report.RequestsPerSecond = math.Round(float64(requests) / elapsed.Seconds())
	if s.example != nil {
		report.Notes = append(report.Notes,
			fmt.Sprintf("The first problem: %v.", strings.TrimSuffix(s.example.Error(), ".")))
	}
	if report.Notes == nil {
		report.Notes = []string{}
	}
	return report
}

// Err is an error if limits were exceeded, or no check was answered with a decision.
func (r *Report) Err() error {
	if n := len(r.Limits.Exceeded); n > 0 {
		return fmt.Errorf("%d limits were exceeded", n)
	}
	for _, n := range r.Decisions {
		if n > 0 {
			return nil
		}
	}
	return fmt.Errorf("none of %d checks was answered with a decision", r.Checks)
}

// WriteText writes the report for people.
func (r *Report) WriteText(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	line := func(format string, args ...any) { _, _ = fmt.Fprintf(table, format+"\n", args...) }
	line("%s: %d accounts, %d connections, batch %d, %s, %s\n", r.URL, r.Accounts, r.Connections,
		r.Batch, r.pace(), time.Duration(r.DurationMillis)*time.Millisecond)
	line("throughput\t%s checks/s\t%s requests/s", thousands(r.ChecksPerSecond),
		thousands(r.RequestsPerSecond))
	line("requests\t%s", counts(r.Requests, "check", "commit", "release"))
	line("decisions\t%s", counts(r.Decisions, httpv1.Allow, httpv1.Defer, httpv1.Reject))
	line("outcomes\t%s", counts(r.Outcomes, slices.Sorted(maps.Keys(r.Outcomes))...))
	line("problems\t%s", counts(r.Problems, slices.Sorted(maps.Keys(r.Problems))...))
	if r.Unsent > 0 {
		line("unsent\t%s requests were due and found no free connection: the rate was not reached",
			thousands(float64(r.Unsent)))
	}
	if err := table.Flush(); err != nil { // so that its columns are not those of the next
		return err
	}
	line("\nlatency\tp50\tp90\tp99\tp99.9\tmax")
	for v := range verbs {
		if p := r.Latency[v.String()]; p.Count > 0 {
			line("%s\t%s\t%s\t%s\t%s\t%s", v, micros(p.P50), micros(p.P90), micros(p.P99), micros(p.P999),
				micros(p.Max))
		}
	}
	if r.LatencyFrom == Sent {
		line("This is the time from sending a request to its answer. It is a closed loop: while an " +
			"answer is late, nothing is sent,\n" +
			"and nobody waits. Use --rate to measure what callers wait who come in their own time.")
	} else {
		line("This is the time from when a request was due, sent or not, to its answer: the wait for a "+
			"free connection counts.\n"+
			"What does not count is how late the generator's own timers were: %s at p50, %s at p99.",
			micros(r.TimerLate.P50), micros(r.TimerLate.P99))
	}
	for _, note := range r.Notes {
		line("\n%s", note)
	}
	line("\n%s", r.Limits.text())
	return table.Flush()
}

func (r *Report) pace() string {
	if r.Rate == 0 {
		return "as fast as possible"
	}
	return fmt.Sprintf("%g requests/s", r.Rate)
}

// counts lists counts by name, in this order.
func counts(of map[string]int64, names ...string) string {
	if len(names) == 0 {
		return "none"
	}
	var parts []string
	for _, name := range names {
		parts = append(parts, name+" "+thousands(float64(of[name])))
	}
	return strings.Join(parts, "\t")
}

func (s *Limits) text() string {
	if len(s.Exceeded) == 0 && s.Windows == 0 {
		return "No limit was verified: none of the accounts has any, or it changed meanwhile."
	}
	if len(s.Exceeded) == 0 {
		return fmt.Sprintf("Limits kept: in %d limited windows of %d accounts nothing was granted too "+
			"much. The fullest got %.1f %% of its limit.",
			s.Windows, s.Accounts, 100*s.Fullest)
	}
	text := "LIMITS EXCEEDED"
	const most = 20
	for i, v := range s.Exceeded {
		if i == most {
			return text + fmt.Sprintf("\n  and %d more", len(s.Exceeded)-most)
		}
		text += "\n  " + v.String()
	}
	return text
}

func (v *Violation) String() string {
	switch v.What {
	case Granted:
		return fmt.Sprintf("%s/%s: %d were allowed within one %s; the limit is %d", v.Namespace, v.Name,
			v.Count, v.Window, v.Limit)
	case Forgotten:
		return fmt.Sprintf("%s/%s: %d were committed, and fewer count in the %s at the end. Did Sluice "+
			"restart?", v.Namespace, v.Name, v.Count, v.Window)
	default:
		return fmt.Sprintf("%s/%s: the usage at the end is %d in the %s; the limit is %d", v.Namespace,
			v.Name, v.Count, v.Window, v.Limit)
	}
}
