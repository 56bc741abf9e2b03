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

// BenchmarkHTTP compares a check with a bare net/http handler, which reads the body and writes as many bytes.
//
// Servers and load are processes of their own with GOMAXPROCS=1: the servers share core 0, the load has core 1. Both
// servers get their requests in turns, a slice to this and a slice to that, so that whatever else the machine does slows
// both. The metrics are
//
//	bare-req/s  of the bare handler
//	req/s       of the check
//	of-bare     the median, over the slices, of one to the other
//	bare-cpu    how busy the bare server was, as a part of its core: near 1, or the load was measured
//	cpu         the same of the server of the check
//
// SLUICE_BENCH_PROFILE names a folder for CPU profiles of the servers.
func BenchmarkHTTP(b *testing.B) {
	for _, decision := range []string{"allow", "deny"} {
		b.Run("check="+decision, func(b *testing.B) {
			bare, check := startServer(b, "bare", decision), startServer(b, decision, decision)
			defer bare.stop(b)
			defer check.stop(b)
			bare.load(b) // warms up connections and pools
			check.load(b)
			b.ResetTimer()
			var ratios []float64
			var bareTook, checkTook time.Duration
			bareBusy, checkBusy := bare.busy(b), check.busy(b)
			requests := 0
			for ; requests < b.N; requests += slice {
				x, y := bare.load(b), check.load(b)
				bareTook, checkTook = bareTook+x, checkTook+y
				ratios = append(ratios, x.Seconds()/y.Seconds())
			}
			slices.Sort(ratios)
			b.ReportMetric(0, "ns/op") // both together: says nothing
			b.ReportMetric(float64(requests)/bareTook.Seconds(), "bare-req/s")
			b.ReportMetric(float64(requests)/checkTook.Seconds(), "req/s")
			b.ReportMetric(ratios[len(ratios)/2], "of-bare")
			b.ReportMetric((bare.busy(b)-bareBusy).Seconds()/bareTook.Seconds(), "bare-cpu")
			b.ReportMetric((check.busy(b)-checkBusy).Seconds()/checkTook.Seconds(), "cpu")
		})
	}
}

// slice is how many requests one server gets before it is the other's turn: about a tenth of a second.
const slice = 4_000

// benched is a server and the load that goes with it.
type benched struct{ server, loader *child }

// child is a process that is told lines and answers them.
type child struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func startServer(b *testing.B, kind, decision string) *benched {
	b.Helper()
	server := startChild(b, "0", "SLUICE_BENCH_SERVER="+kind, "SLUICE_BENCH_DECISION="+decision)
	address := server.line(b)
	return &benched{server, startChild(b, "1", "SLUICE_BENCH_LOAD="+address)}
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

// load sends a slice of requests and returns how long that took.
func (s *benched) load(b *testing.B) time.Duration {
	b.Helper()
	if _, err := fmt.Fprintln(s.loader.in, slice); err != nil {
		b.Fatal(err)
	}
	took, err := time.ParseDuration(s.loader.line(b))
	if err != nil {
		b.Fatal(err)
	}
	return took
}

// stop ends both processes, which do so when they are told no more.
func (s *benched) stop(b *testing.B) {
	b.Helper()
	for _, c := range []*child{s.loader, s.server} {
		_ = c.in.Close()
		if err := c.cmd.Wait(); err != nil {
			b.Error(err)
		}
	}
}

// busy is how much processor time the server has used; 0 where there is no /proc.
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
