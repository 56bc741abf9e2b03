//go:build faults

package faults

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// memoryGroup is a cgroup with a limit on memory, of the first or the second version, whichever the
// machine has.
type memoryGroup struct {
	dir   string
	peak  string // the file with the most memory that it had
	kills func() int
}

func newMemoryGroup(t *testing.T, limit int64) *memoryGroup {
	t.Helper()
	name := fmt.Sprintf("sluice-faults-%d-%d", os.Getpid(), time.Now().UnixNano())
	write := func(file, text string) error { return os.WriteFile(file, []byte(text), 0o644) }
	bytes := strconv.FormatInt(limit, 10)
	const first, second = "/sys/fs/cgroup/memory", "/sys/fs/cgroup"
	g := &memoryGroup{}
	var err error
	if _, e := os.Stat(filepath.Join(first, "memory.limit_in_bytes")); e == nil {
		g.dir, g.peak = filepath.Join(first, name), "memory.max_usage_in_bytes"
		g.kills = func() int { return g.event("memory.oom_control") }
		err = errors.Join(os.Mkdir(g.dir, 0o755),
			write(filepath.Join(g.dir, "memory.limit_in_bytes"), bytes))
	} else {
		g.dir, g.peak = filepath.Join(second, name), "memory.peak"
		g.kills = func() int { return g.event("memory.events") }
		err = errors.Join(write(filepath.Join(second, "cgroup.subtree_control"), "+memory"),
			os.Mkdir(g.dir, 0o755), write(filepath.Join(g.dir, "memory.max"), bytes))
		swap := write(filepath.Join(g.dir, "memory.swap.max"), "0")
		if !errors.Is(swap, fs.ErrNotExist) { // where there is no swap
			err = errors.Join(err, swap)
		}
	}
	if err != nil {
		t.Fatalf("a cgroup with a limit on memory cannot be made: %v", err)
	}
	t.Cleanup(func() {
		if err := os.Remove(g.dir); err != nil {
			t.Error(err)
		}
	})
	return g
}

// event returns how often the kernel killed a process of the group.
func (g *memoryGroup) event(file string) int {
	text, _ := os.ReadFile(filepath.Join(g.dir, file))
	_, rest, found := strings.Cut(string(text), "oom_kill ")
	if !found {
		return 0
	}
	n, _ := strconv.Atoi(strings.Fields(rest)[0])
	return n
}

// most is the most memory that the group had, in MiB.
func (g *memoryGroup) most() int {
	text, _ := os.ReadFile(filepath.Join(g.dir, g.peak))
	n, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return n >> 20
}

// enter is a command that runs another one in the group.
func (g *memoryGroup) enter() []string {
	return []string{"sh", "-c", `echo $$ >"$0"/cgroup.procs && exec "$@"`, g.dir}
}
