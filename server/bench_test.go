package server_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Servers and loads are processes of their own, with GOMAXPROCS=1: the two servers share core 0,
// their loads share core 1. The servers get slices of checks in turns, so that whatever else the
// machine does slows both. The metrics are
//
//	ref-checks/s  of the reference
//	checks/s      of the subject
//	ratio         the median, over the slices, of one to the other
//	cpu-ratio     the same of the checks that a second of processor time is enough for, over all
//	              slices. It is below ratio where garbage is collected in the other one's slice,
//	              or the load cannot keep up with it
//	ref-p99-ns    the median, over the slices, of the 99th percentile of how long a request took
//	p99-ns        the same of the subject
//	ref-cpu       how busy the reference was, as a part of its core. It should be near 1:
//	              otherwise the load was the bottleneck
//	cpu           the same of the subject
//
// SLUICE_BENCH_PROFILE names a folder for CPU profiles of the servers.

// BenchmarkHTTP compares a check with a bare net/http handler, which reads the body and writes as
// many bytes.
func BenchmarkHTTP(b *testing.B) {
	for _, decision := range []string{"allow", "deny"} {
		for _, accounts := range []int{1, 100_000} {
			b.Run(fmt.Sprintf("check=%s/accounts=%d", decision, accounts), func(b *testing.B) {
				compare(b, startServer(b, "bare", decision, accounts, 1),
					startServer(b, "sluice", decision, accounts, 1))
			})
		}
	}
}

// BenchmarkBatch compares checks in batches of 100 with checks in requests of their own.
func BenchmarkBatch(b *testing.B) {
	for _, accounts := range []int{1, 100_000} {
		b.Run(fmt.Sprintf("accounts=%d", accounts), func(b *testing.B) {
			compare(b, startServer(b, "sluice", "allow", accounts, 1),
				startServer(b, "sluice", "allow", accounts, 100))
		})
	}
}

// benchSlice is how many checks one server gets before it is the other's turn: about a tenth of a
// second of single ones.
const benchSlice = 4_000

// compare gives b.N checks to each of two servers, and reports the metrics.
func compare(b *testing.B, reference, subject *benched) {
	b.Helper()
	defer reference.stop(b)
	defer subject.stop(b)
	reference.load(b) // warms up connections and pools
	subject.load(b)
	b.ResetTimer()
	for _, s := range []*benched{reference, subject} {
		s.busyBefore, s.took, s.p99s = s.busy(b), 0, nil
	}
	var ratios []float64
	checks := 0
	for ; checks < b.N; checks += benchSlice {
		x, y := reference.load(b), subject.load(b)
		ratios = append(ratios, x.Seconds()/y.Seconds())
	}
	b.ReportMetric(0, "ns/op") // both together: says nothing
	b.ReportMetric(median(ratios), "ratio")
	referenceBusy, subjectBusy := reference.report(b, "ref-", checks), subject.report(b, "", checks)
	if subjectBusy > 0 {
		b.ReportMetric(referenceBusy.Seconds()/subjectBusy.Seconds(), "cpu-ratio")
	}
}

func median(of []float64) float64 {
	slices.Sort(of)
	return of[len(of)/2]
}

// benched is a server and the load that goes with it.
type benched struct {
	server, loader   *child
	busyBefore, took time.Duration
	p99s             []float64 // of each slice, in nanoseconds
}

// child is a process that gets lines and responds to each with a line.
type child struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func startServer(b *testing.B, kind, decision string, accounts, batch int) *benched {
	b.Helper()
	n := "SLUICE_BENCH_ACCOUNTS=" + strconv.Itoa(accounts)
	server := startChild(b, "0", n, "SLUICE_BENCH_SERVER="+kind, "SLUICE_BENCH_DECISION="+decision)
	address := server.line(b)
	return &benched{
		server: server,
		loader: startChild(b, "1", n, "SLUICE_BENCH_LOAD="+address,
			"SLUICE_BENCH_BATCH="+strconv.Itoa(batch)),
	}
}

// startChild runs this binary again, on one core. Without taskset it runs wherever there is room.
func startChild(b *testing.B, core string, env ...string) *child {
	b.Helper()
	args := []string{os.Args[0]}
	if taskset, err := exec.LookPath("taskset"); err == nil {
		args = append([]string{taskset, "-c", core}, args...)
	}
	c := &child{cmd: exec.Command(args[0], args[1:]...)}
	c.cmd.Env = append(append(os.Environ(), "GOMAXPROCS=1"), env...)
	c.cmd.Stderr = os.Stderr
	var err error
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		b.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	c.out = bufio.NewReader(out)
	if err := c.cmd.Start(); err != nil {
		b.Fatal(err)
	}
	return c
}

func (c *child) line(b *testing.B) string {
	b.Helper()
	line, err := c.out.ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return strings.TrimSpace(line)
}

// load sends a slice of checks and returns how long that took.
func (s *benched) load(b *testing.B) time.Duration {
	b.Helper()
	if _, err := fmt.Fprintln(s.loader.in, benchSlice); err != nil {
		b.Fatal(err)
	}
	var took time.Duration
	var p99 float64
	if _, err := fmt.Sscan(s.loader.line(b), &took, &p99); err != nil {
		b.Fatal(err)
	}
	s.took += took
	s.p99s = append(s.p99s, p99)
	return took
}

// stop ends both processes: they end when their standard input does.
func (s *benched) stop(b *testing.B) {
	b.Helper()
	for _, c := range []*child{s.loader, s.server} {
		_ = c.in.Close()
		if err := c.cmd.Wait(); err != nil {
			b.Error(err)
		}
	}
}

// report reports the metrics of one side, and returns the processor time that it used.
func (s *benched) report(b *testing.B, prefix string, checks int) time.Duration {
	b.Helper()
	busy := s.busy(b) - s.busyBefore
	b.ReportMetric(float64(checks)/s.took.Seconds(), prefix+"checks/s")
	b.ReportMetric(median(s.p99s), prefix+"p99-ns")
	b.ReportMetric(busy.Seconds()/s.took.Seconds(), prefix+"cpu")
	return busy
}

// busy returns how much processor time the server has used, or 0 where there is no /proc.
func (s *benched) busy(b *testing.B) time.Duration {
	b.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.server.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(stat), ") ") // the name may contain spaces
	fields := strings.Fields(rest)
	var ticks int
	for _, field := range fields[11:13] { // user and system time, in hundredths of a second
		n, err := strconv.Atoi(field)
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}
