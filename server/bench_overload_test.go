package server_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// BenchmarkOverload offers a server ten times the checks that it can decide, from 2,000 connections
// that each send when the next check is due, or as soon as they have their answer. Where an answer
// is late, the checks that were due meanwhile are never sent. Server and load have a core each.
// Each turn is a second at the peak (16 connections that do not pause), a second of quiet (a
// twentieth of the peak) and two seconds of overload; what comes in the first third of each is not
// counted. The metrics are, also for a server that admits every check that waits for a core,
//
//	peak-checks/s   that were decided at the peak
//	checks/s        that were decided under overload
//	refused/s       that were refused meanwhile
//	goodput-ratio   the median, over the turns, of checks/s to peak-checks/s (aim: at least 0.8)
//	quiet-p99-ns    the 99th percentile of how long a decision took while it was quiet
//	peak-p99-ns     the same at the peak
//	p99-ns          the same under overload, from when the check was sent
//	p99-ratio       the median, over the turns, of p99-ns to quiet-p99-ns (aim: at most 5)
//	peak-rss-MiB    the memory of the server after the first peak
//	rss-MiB         the same after the last overload
func BenchmarkOverload(b *testing.B) {
	for _, s := range []benchSetup{
		{kind: "memory", sheds: true}, {kind: "journal", sheds: true, procs: 2},
		{kind: "memory"},
	} {
		s.decision, s.accounts, s.sync = "allow", 1000, "always"
		b.Run(fmt.Sprintf("store=%s/shedding=%v", s.kind, s.sheds), func(b *testing.B) {
			overload(b, s)
		})
	}
}

const overloadConnections = 2000

func overload(b *testing.B, s benchSetup) {
	b.Helper()
	server := startChild(b, "0", nil, "SLUICE_BENCH_ACCOUNTS="+strconv.Itoa(s.accounts),
		"GOMAXPROCS="+strconv.Itoa(max(1, s.procs)), "SLUICE_BENCH_SERVER="+s.kind,
		"SLUICE_BENCH_DECISION="+s.decision, "SLUICE_BENCH_SYNC="+s.sync,
		"SLUICE_BENCH_DIR="+b.TempDir(), "SLUICE_BENCH_SHEDS="+strconv.FormatBool(s.sheds))
	loader := startChild(b, "1", nil, "GOMAXPROCS=1", "SLUICE_BENCH_OVERLOAD="+server.line(b),
		"SLUICE_BENCH_ACCOUNTS="+strconv.Itoa(s.accounts))
	defer (&benched{server: server, loader: loader}).stop(b)
	offer := func(connections int, rate float64, lasts time.Duration) (o offered) {
		loader.say(b, fmt.Sprint(connections, rate, lasts.Seconds()))
		if _, err := fmt.Sscan(loader.line(b), &o.decided, &o.refused, &o.p99); err != nil {
			b.Fatal(err)
		}
		return o
	}
	offer(16, 1e9, time.Second)                  // connections and pools
	offer(overloadConnections, 1e9, time.Second) // and the memory that they take
	before := rss(b, server)
	var all struct{ peak, quiet, over turns }
	var goodput, slower []float64
	b.ResetTimer()
	for range b.N {
		peak := offer(16, 1e9, time.Second)
		quiet := offer(16, peak.decided/20, time.Second)
		over := offer(overloadConnections, 10*peak.decided, 2*time.Second)
		goodput = append(goodput, over.decided/peak.decided)
		slower = append(slower, over.p99/quiet.p99)
		all.peak, all.quiet = append(all.peak, peak), append(all.quiet, quiet)
		all.over = append(all.over, over)
	}
	b.ReportMetric(0, "ns/op") // of three loads together: says nothing
	b.ReportMetric(all.peak.median(decided), "peak-checks/s")
	b.ReportMetric(all.over.median(decided), "checks/s")
	b.ReportMetric(all.over.median(refused), "refused/s")
	b.ReportMetric(median(goodput), "goodput-ratio")
	b.ReportMetric(all.quiet.median(p99), "quiet-p99-ns")
	b.ReportMetric(all.peak.median(p99), "peak-p99-ns")
	b.ReportMetric(all.over.median(p99), "p99-ns")
	b.ReportMetric(median(slower), "p99-ratio")
	b.ReportMetric(before, "peak-rss-MiB")
	b.ReportMetric(rss(b, server), "rss-MiB")
}

// offered is what became of an offer: checks a second, and nanoseconds.
type offered struct{ decided, refused, p99 float64 }

func decided(o offered) float64 { return o.decided }
func refused(o offered) float64 { return o.refused }
func p99(o offered) float64     { return o.p99 }

type turns []offered

func (t turns) median(of func(offered) float64) float64 {
	var all []float64
	for _, o := range t {
		all = append(all, of(o))
	}
	return median(all)
}

// rss is the resident memory of a process in MiB, or 0 where there is no /proc.
func rss(b *testing.B, c *child) float64 {
	b.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	kib, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		b.Fatal(err)
	}
	return float64(kib) / 1024
}
