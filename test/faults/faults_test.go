//go:build faults

// Package faults tests the real binary under faults. It is killed, stopped and starved of memory;
// its disk fills up, fails, hangs or is not its own; its files are damaged while it is down.
// `make faults` runs it. It needs root, strace, e2fsprogs and util-linux.
//
//   - process_test.go: the binary as a process, and the calls to it.
//   - fleet_test.go, mailbox_test.go: dispatchers that never give up, and what providers see.
//   - kill_test.go: SIGKILL under load, and during the first start.
//   - signals_test.go: SIGSTOP and SIGTERM under load.
//   - memory_test.go, cgroup_test.go: too little memory.
//   - full_test.go, volume_test.go: a disk that fills up.
//   - broken_test.go, strace_test.go: a disk that fails, or hangs.
//   - directory_test.go: directories that cannot be used.
//   - damage_test.go: files that were damaged.
//   - deleted_test.go: accounts that were deleted meanwhile.
//   - clock_test.go: another boot of the machine.
package faults

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// workDir has the binary and everything that the tests write. Every user may enter it.
var workDir string

func TestMain(m *testing.M) {
	code, err := runTests(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "faults:", err)
		code = 1
	}
	os.Exit(code)
}

func runTests(m *testing.M) (code int, err error) {
	if err := requirements(); err != nil {
		return 1, err
	}
	if workDir, err = os.MkdirTemp("", "sluice-faults-"); err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(workDir)) }()
	if err := os.Chmod(workDir, 0o755); err != nil {
		return 1, err
	}
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", binary(),
		"../../cmd/sluice")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return 1, fmt.Errorf("the binary cannot be built: %w\n%s", err, out)
	}
	return m.Run(), nil
}

func binary() string { return filepath.Join(workDir, "sluice") }

// requirements says what is missing. A test that is skipped proves nothing.
func requirements() error {
	if os.Getuid() != 0 {
		return errors.New("these tests mount file systems and make cgroups: run them as root, " +
			"for instance in a virtual machine")
	}
	var missing []string
	for program, debian := range map[string]string{
		"strace": "strace", "mkfs.ext4": "e2fsprogs", "losetup": "mount", "unshare": "util-linux",
	} {
		if _, err := exec.LookPath(program); err != nil {
			missing = append(missing, fmt.Sprintf("%s (of the package %s)", program, debian))
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("install %s", strings.Join(missing, ", "))
	}
	return nil
}

// tempDir makes a directory that every user may enter. It goes with workDir.
func tempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp(workDir, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}
