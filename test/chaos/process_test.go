//go:build chaos

package chaos

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-mail/sluice/test/testprocess"
)

// process is a Sluice with the accounts chaos/many-0000 to chaos/many-0999, without limits.
type process struct {
	t                    *testing.T
	cmd                  *exec.Cmd
	log                  *testprocess.Log
	api, health, metrics string
}

// start starts a Sluice with more arguments, and waits until it is ready. It ends with the test.
func start(t *testing.T, args ...string) *process {
	t.Helper()
	dir := t.TempDir()
	var manifest strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&manifest, "apiVersion: sluice.dev/v1alpha1\nkind: MailAccount\n"+
			"metadata: {namespace: chaos, name: many-%04d}\nspec: {limits: {}}\n---\n", i)
	}
	file := filepath.Join(dir, "accounts.yaml")
	if err := os.WriteFile(file, []byte(manifest.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	p := &process{
		t: t, log: &testprocess.Log{},
		api: freeAddress(t), health: freeAddress(t), metrics: freeAddress(t),
	}
	p.cmd = exec.Command(binary(), append([]string{"serve", "--accounts", dir,
		"--http-address", p.api, "--health-address", p.health, "--metrics-address", p.metrics},
		args...)...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p.cmd.Stderr = p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
	})
	p.until("it is ready", func() bool {
		resp, err := http.Get("http://" + p.health + "/readyz")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	return p
}

// freeAddress is an address that nothing listens on, with a port that the system gives no client.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 1000 {
		address := fmt.Sprintf("127.0.0.1:%d", 20000+rand.IntN(10000))
		if l, err := net.Listen("tcp", address); err == nil {
			_ = l.Close()
			return address
		}
	}
	t.Fatal("there is no free port")
	return ""
}

// until waits for something that must happen.
func (p *process) until(what string, done func() bool) {
	p.t.Helper()
	for end := time.Now().Add(patience); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			p.t.Fatalf("this did not happen: %s; the log is\n%s", what, p.log)
		}
	}
}

// series returns what /metrics says.
func (p *process) series() map[string]float64 {
	p.t.Helper()
	resp, err := http.Get("http://" + p.metrics + "/metrics")
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	series := map[string]float64{}
	for line := range strings.Lines(string(text)) {
		if at := strings.LastIndexByte(line, ' '); at > 0 && line[0] != '#' {
			series[line[:at]], _ = strconv.ParseFloat(strings.TrimSpace(line[at:]), 64)
		}
	}
	return series
}

// memory is what the process holds: MiB that are resident, and that the heap may reach before
// garbage is collected, which is twice what is live.
func (p *process) memory() (resident, heap float64) {
	p.t.Helper()
	s := p.series()
	return s["process_resident_memory_bytes"] / (1 << 20), s["go_memstats_next_gc_bytes"] / (1 << 20)
}

// lines returns the lines of the log, each of which must be JSON.
func (p *process) lines() (lines []map[string]any) {
	p.t.Helper()
	for text := range strings.Lines(p.log.String()) {
		line := map[string]any{}
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			if strings.HasSuffix(text, "\n") {
				p.t.Fatalf("%v: %q", err, text)
			}
			break // it is being written
		}
		lines = append(lines, line)
	}
	return lines
}
