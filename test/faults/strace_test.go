//go:build faults

package faults

import (
	"fmt"
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

// injection is an strace that makes system calls of a process fail, or wait.
type injection struct {
	t    *testing.T
	log  *testprocess.Log
	out  string // the file with the calls
	cmd  *exec.Cmd
	done chan struct{}
}

// inject spoils a system call of the running process, as strace's -e inject says. The more
// arguments are for strace. It returns once each call is spoiled.
func (p *process) inject(what string, more ...string) *injection {
	p.t.Helper()
	call, _, _ := strings.Cut(what, ":")
	i := &injection{
		t: p.t, log: &testprocess.Log{}, out: filepath.Join(tempDir(p.t), "strace"),
		done: make(chan struct{}),
	}
	args := append([]string{"-f", "-o", i.out, "-p", strconv.Itoa(p.cmd.Process.Pid),
		"-e", "trace=" + call, "-e", "inject=" + what}, more...)
	i.cmd = exec.Command("strace", args...)
	i.cmd.Stderr = i.log
	if err := i.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	go func() { _ = i.cmd.Wait(); close(i.done) }()
	p.t.Cleanup(i.end)
	p.until("strace is attached", func() bool {
		select {
		case <-i.done:
			p.t.Fatalf("strace has ended: %s", i.log)
		default:
		}
		return strings.Contains(i.log.String(), fmt.Sprintf("Process %d attached", p.cmd.Process.Pid))
	})
	// A call that had begun before may still end well.
	time.Sleep(200 * time.Millisecond)
	return i
}

// end lets the system calls be as they were. While it delays one of a process that exits, strace
// does not listen; once it is killed, the kernel lets go of the process.
func (i *injection) end() {
	_ = i.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-i.done:
		return
	case <-time.After(time.Second):
	}
	_ = i.cmd.Process.Kill()
	<-i.done
}

// spoiled is how many calls were.
func (i *injection) spoiled() int {
	text, err := os.ReadFile(i.out)
	if err != nil {
		i.t.Fatal(err)
	}
	return strings.Count(string(text), "INJECTED") + strings.Count(string(text), "DELAYED")
}
