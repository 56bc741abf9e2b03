package server_test

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-mail/sluice/limiter/redis/redistest"
)

// Servers and loads are processes of their own, with GOMAXPROCS=1 unless a benchmark says more: the
// two servers share core 0, their loads share core 1. The servers get slices of checks in turns, so
// that whatever else the machine does slows both. The metrics are
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
//	ref-µs/check        where there is a Redis, the processor time of the reference for a check,
//	                    and its commit if there is one
//	ref-redis-µs/check  the same of Redis
//	µs/check, redis-µs/check  the same of the subject
//
// SLUICE_BENCH_PROFILE names a folder for CPU profiles of the servers.

// BenchmarkHTTP compares a check with a bare net/http handler, which reads the body and writes as
// many bytes.
func BenchmarkHTTP(b *testing.B) {
	for _, decision := range []string{"allow", "deny"} {
		for _, accounts := range []int{1, 100_000} {
			b.Run(fmt.Sprintf("check=%s/accounts=%d", decision, accounts), func(b *testing.B) {
				compare(b, benchSetup{kind: "bare", decision: decision, accounts: accounts},
					benchSetup{kind: "memory", decision: decision, accounts: accounts})
			})
		}
	}
}

// BenchmarkBatch compares checks in batches of 100 with checks in requests of their own.
func BenchmarkBatch(b *testing.B) {
	for _, accounts := range []int{1, 100_000} {
		b.Run(fmt.Sprintf("accounts=%d", accounts), func(b *testing.B) {
			compare(b, benchSetup{kind: "memory", decision: "allow", accounts: accounts},
				benchSetup{kind: "memory", decision: "allow", accounts: accounts, batch: 100})
		})
	}
}

// BenchmarkJournal compares the store with a journal with the store in memory. Each check that is
// allowed is committed, by a request that is not timed for the percentiles. Both servers have
// GOMAXPROCS=2, as a process with a journal always has, and still share core 0. disk-p99-ns is what
// a synced write of 4 KiB takes at the 99th percentile, in the same folder right before.
func BenchmarkJournal(b *testing.B) {
	const accounts = 1000
	for _, c := range []struct {
		decision           string
		sync               string
		connections, batch int
	}{
		{"allow", "always", 1, 1}, {"allow", "always", 16, 1},
		{"allow", "always", 64, 1}, {"allow", "always", 256, 1},
		{"allow", "100ms", 64, 1},
		{"allow", "always", 16, 100},
		{"deny", "always", 64, 1},
	} {
		name := fmt.Sprintf("check=%s/sync=%s/connections=%d/batch=%d",
			c.decision, c.sync, c.connections, c.batch)
		b.Run(name, func(b *testing.B) {
			s := benchSetup{
				kind: "memory", decision: c.decision, accounts: accounts, batch: c.batch,
				connections: c.connections, procs: 2, commits: c.decision == "allow",
			}
			disk := syncedWrites(b)
			durable := s
			durable.kind, durable.sync = "journal", c.sync
			compare(b, s, durable)
			b.ReportMetric(disk, "disk-p99-ns")
		})
	}
}

// syncedWrites returns the 99th percentile of how long it takes to overwrite and sync 4 KiB.
func syncedWrites(b *testing.B) (p99 float64) {
	b.Helper()
	f, err := os.Create(filepath.Join(b.TempDir(), "synced"))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	var took []float64
	block := make([]byte, 4096)
	for i := range 2001 {
		start := time.Now()
		_, err := f.WriteAt(block, 0)
		if err = errors.Join(err, syscall.Fdatasync(int(f.Fd()))); err != nil {
			b.Fatal(err)
		}
		if i > 0 { // the first one makes the file longer
			took = append(took, float64(time.Since(start)))
		}
	}
	slices.Sort(took)
	return took[len(took)*99/100]
}

// benchSlice is how many checks one server gets before it is the other's turn: about a tenth of a
// second of single ones.
const benchSlice = 4_000

// benchSetup says what is measured.
type benchSetup struct {
	kind        string // of the server: bare, memory, auth, journal, evalsha or redis
	decision    string // of all checks: allow or deny
	accounts    int
	batch       int    // checks in a request; 0 is 1
	connections int    // of the load; 0 is 16
	procs       int    // GOMAXPROCS of the server; 0 is 1
	commits     bool   // commit each check
	sheds       bool   // checks, while others wait for a core
	sync        string // of a journal
	tls         bool   // encrypt the connections

	redis  *redistest.Server // of evalsha and redis
	prefix string            // of the keys of redis; a new one if empty
	first  int               // the number of the load's first connection, which its ids begin with
	warmUp int               // slices that are not measured; 0 is 1
	env    []string          // more of the server and of the load
}

// compare gives b.N checks to each of two servers, and reports the metrics.
func compare(b *testing.B, x, y benchSetup) {
	b.Helper()
	reference, subject := startServer(b, x), startServer(b, y)
	defer reference.stop(b)
	defer subject.stop(b)
	for range max(1, y.warmUp) { // connections and pools
		reference.load(b)
		subject.load(b)
	}
	b.ResetTimer()
	for _, s := range []*benched{reference, subject} {
		s.begin(b)
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

	redis     *redistest.Server // nil if the server needs none
	redisUsed time.Duration     // its processor time, in the slices
}

// child is a process that gets lines and responds to each with a line.
type child struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func startServer(b *testing.B, s benchSetup) *benched {
	b.Helper()
	n := "SLUICE_BENCH_ACCOUNTS=" + strconv.Itoa(s.accounts)
	url := ""
	if s.redis != nil {
		url = s.redis.URL()
	}
	prefix := cmp.Or(s.prefix, newBenchPrefix())
	both := append(slices.Clone(s.env), n, "SLUICE_BENCH_TLS="+strconv.FormatBool(s.tls))
	server := startChild(b, "0", both, "GOMAXPROCS="+strconv.Itoa(max(1, s.procs)),
		"SLUICE_BENCH_SERVER="+s.kind, "SLUICE_BENCH_DECISION="+s.decision,
		"SLUICE_BENCH_SYNC="+s.sync, "SLUICE_BENCH_DIR="+b.TempDir(), "SLUICE_BENCH_REDIS="+url,
		"SLUICE_BENCH_PREFIX="+prefix)
	address := server.line(b)
	return &benched{
		server: server, redis: s.redis,
		loader: startChild(b, "1", both, "GOMAXPROCS=1", "SLUICE_BENCH_LOAD="+address,
			"SLUICE_BENCH_BATCH="+strconv.Itoa(max(1, s.batch)),
			"SLUICE_BENCH_CONNECTIONS="+strconv.Itoa(cmp.Or(s.connections, 16)),
			"SLUICE_BENCH_FIRST="+strconv.Itoa(s.first),
			"SLUICE_BENCH_COMMITS="+strconv.FormatBool(s.commits)),
	}
}

// startChild runs this binary again, on one core. Without taskset it runs wherever there is room.
func startChild(b *testing.B, core string, env []string, more ...string) *child {
	b.Helper()
	args := []string{os.Args[0]}
	if taskset, err := exec.LookPath("taskset"); err == nil {
		args = append([]string{taskset, "-c", core}, args...)
	}
	c := &child{cmd: exec.Command(args[0], args[1:]...)}
	c.cmd.Env = append(append(os.Environ(), env...), more...)
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

func (c *child) say(b *testing.B, what any) {
	b.Helper()
	if _, err := fmt.Fprintln(c.in, what); err != nil {
		b.Fatal(err)
	}
}

// begin forgets what was measured so far.
func (s *benched) begin(b *testing.B) {
	b.Helper()
	s.busyBefore, s.took, s.p99s, s.redisUsed = s.busy(b), 0, nil, 0
}

// load sends a slice of checks and returns how long that took.
func (s *benched) load(b *testing.B) time.Duration {
	b.Helper()
	used := s.redisCPU(b)
	s.loader.say(b, benchSlice)
	took := s.loaded(b)
	s.redisUsed += s.redisCPU(b) - used
	return took
}

// loaded waits until a slice of checks is done, and returns how long that took.
func (s *benched) loaded(b *testing.B) time.Duration {
	b.Helper()
	var took time.Duration
	var p99 float64
	if _, err := fmt.Sscan(s.loader.line(b), &took, &p99); err != nil {
		b.Fatal(err)
	}
	s.took += took
	s.p99s = append(s.p99s, p99)
	return took
}

func (s *benched) redisCPU(b *testing.B) time.Duration {
	b.Helper()
	if s.redis == nil {
		return 0
	}
	return s.redis.CPU(b)
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
	if s.redis != nil {
		b.ReportMetric(float64(busy.Microseconds())/float64(checks), prefix+"µs/check")
		b.ReportMetric(float64(s.redisUsed.Microseconds())/float64(checks), prefix+"redis-µs/check")
	}
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
