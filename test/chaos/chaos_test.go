//go:build chaos

// Package chaos tests the real binary against hostile and broken callers. `make chaos` runs it in
// full; with -short the floods are smaller.
//
//   - process_test.go: the binary as a process, its log and its metrics.
//   - healthy_test.go: a client that wants its answers, whatever others do.
//   - slow_test.go: slow and silent clients, and floods of connections.
//   - floods_test.go: requests about accounts that do not exist.
package chaos

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// patience is how long the tests wait for what must happen.
const patience = time.Minute

// workDir has the binary.
var workDir string

func TestMain(m *testing.M) {
	code, err := runTests(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		code = 1
	}
	os.Exit(code)
}

func runTests(m *testing.M) (code int, err error) {
	if workDir, err = os.MkdirTemp("", "sluice-chaos-"); err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(workDir)) }()
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", binary(),
		"../../cmd/sluice")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return 1, fmt.Errorf("the binary cannot be built: %w\n%s", err, out)
	}
	return m.Run(), nil
}

func binary() string { return filepath.Join(workDir, "sluice") }

// full returns the size of an attack in full, or a smaller one with -short.
func full(size, short int) int {
	if testing.Short() {
		return short
	}
	return size
}
