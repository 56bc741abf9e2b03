package main

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/sluice-mail/sluice/test/testprocess"
)

// podMemory is the chart's default for resources.limits.memory.
const podMemory = 512 << 20

// TestUnfinishedBatchesDoNotFillTheMemory has a thousand callers send a batch of 1 MiB without its
// last byte. The process must stay far below what the pod may have, and answer everybody else
// meanwhile.
func TestUnfinishedBatchesDoNotFillTheMemory(t *testing.T) {
	p := &program{t: t, log: &testprocess.Log{}, api: freeAddress(t), health: freeAddress(t)}
	limit := "GOMEMLIMIT=" + strconv.Itoa(podMemory/10*9)
	p.run(command(t, []string{limit}, "serve", "--accounts", accounts(t),
		"--http-address", p.api, "--health-address", p.health, "--metrics-address", "127.0.0.1:0"))
	p.untilReady()
	var callers sync.WaitGroup
	unfinished := bytes.Repeat([]byte(" "), 1<<20-1)
	for range unfinishedBatches {
		callers.Go(func() {
			conn, err := net.Dial("tcp", p.api)
			if err != nil {
				t.Error(err)
				return
			}
			t.Cleanup(func() { _ = conn.Close() })
			_, err = fmt.Fprintf(conn, "POST /v1/check HTTP/1.1\r\nHost: sluice\r\n"+
				"Content-Type: application/json\r\n"+
				"Content-Length: %d\r\n\r\n%s", len(unfinished)+1, unfinished)
			if err != nil {
				t.Logf("a caller was cut off: %v", err) // so it may be, for being slow
			}
		})
	}
	sent := make(chan struct{})
	go func() { callers.Wait(); close(sent) }()
	for asked, all := 0, false; !all || asked < 100; asked++ {
		resp, err := http.Post("http://"+p.api+"/v1/accounts/n/a/check", "application/json", nil)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("a healthy caller got %v, %v; the log is\n%s", resp, err, p.log)
		}
		_ = resp.Body.Close()
		select {
		case <-sent:
			all = true
		default:
		}
	}
	if peak := peakMemory(t, p.cmd.Process.Pid); peak > podMemory*3/4 {
		t.Errorf("the process took %d MiB", peak>>20)
	}
	p.stop()
}

// peakMemory is the most memory that a process has had, in bytes. It is 0 where there is no /proc.
func peakMemory(t *testing.T, pid int) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	kib, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the peak was %d MiB", kib>>10)
	return kib << 10
}
