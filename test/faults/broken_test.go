//go:build faults

package faults

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-mail/sluice/api/httpv1"
	"github.com/sluice-mail/sluice/client/sluice"
)

// TestSyncFails has each fdatasync fail. Nothing is acknowledged any more, and the process ends:
// the next one reads what the disk really has.
func TestSyncFails(t *testing.T) {
	p := newProcess(t, map[string]int{"a": 0, "full": 1})
	p.serve()
	p.allow("a", 50, 900)
	fault := p.inject("fdatasync:error=EIO")
	p.noneAllowed()
	p.refuses(patience, "the journal cannot be written any more", "input/output error")
	if fault.spoiled() == 0 {
		t.Error("no sync has failed")
	}
	p.serve()
	p.wantBetween("a", 50, 50+callers, 0)
	p.stop()
}

const callers = 20

// noneAllowed asks at the same time, and wants no Allow.
func (p *process) noneAllowed() {
	p.t.Helper()
	var group sync.WaitGroup
	for range callers {
		group.Go(func() {
			d, err := p.check("a", newID(), 900)
			if !errors.Is(err, sluice.ErrStoreUnavailable) && !errors.Is(err, sluice.ErrNoAnswer) &&
				!errors.Is(err, sluice.ErrNotReady) { // it is about to end
				p.t.Errorf("a check got %+v, %v", d, err)
			}
		})
	}
	group.Wait()
}

// TestOneSyncFails has one fdatasync fail, as a disk with a bad block does, while many ask.
func TestOneSyncFails(t *testing.T) {
	p := newProcess(t, map[string]int{"a": 0})
	p.serve()
	var allowed, refused atomic.Int64
	var group sync.WaitGroup
	for range callers {
		group.Go(func() {
			for {
				d, err := p.check("a", newID(), 900)
				if err != nil {
					refused.Add(1)
					return
				}
				if d.Decision == httpv1.Allow {
					allowed.Add(1)
				}
			}
		})
	}
	p.inject("fdatasync:error=EIO:when=20")
	p.refuses(patience, "the journal cannot be written any more", "input/output error")
	group.Wait()
	p.serve()
	p.wantBetween("a", allowed.Load(), allowed.Load()+refused.Load(), 0)
	p.stop()
}

// TestWriteFails has the writes to the log itself fail.
func TestWriteFails(t *testing.T) {
	p := newProcess(t, map[string]int{"a": 0})
	p.serve()
	p.allow("a", 50, 900)
	logs, err := filepath.Glob(filepath.Join(p.data, "db", "*.log"))
	if err != nil || len(logs) == 0 {
		t.Fatalf("there is no log: %v", err)
	}
	var paths []string
	for _, log := range logs {
		paths = append(paths, "-P", log)
	}
	p.inject("write:error=EIO", paths...)
	p.noneAllowed()
	p.refuses(patience, "the journal cannot be written any more", "input/output error")
	p.serve()
	p.wantBetween("a", 50, 50+callers, 0)
	p.stop()
}

// TestSyncFailsAtTheStart has each of the first syncs of a start fail in turn.
func TestSyncFailsAtTheStart(t *testing.T) {
	p := newProcess(t, map[string]int{"a": 0})
	p.serve()
	p.allow("a", 10, 900)
	p.kill()
	failed := 0
	for _, call := range []string{"fsync", "fdatasync"} {
		for n := 1; n <= 4; n++ {
			// -D: the process is ours, and strace is its child.
			p.wrapper = []string{"strace", "-D", "-f", "-o", "/dev/null", "-e", "trace=" + call,
				"-e", fmt.Sprintf("inject=%s:error=EIO:when=%d", call, n)}
			p.start()
			if p.endsOrServes() {
				failed++
				p.refuses(patience, "input/output error")
			}
			p.kill()
		}
	}
	if failed == 0 {
		t.Error("no start has failed")
	}
	t.Logf("%d starts failed", failed)
	p.wrapper = nil
	p.serve()
	p.want("a", 10, 0)
	p.stop()
}

// endsOrServes waits for either. It reports whether the process has ended.
func (p *process) endsOrServes() (ended bool) {
	p.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		select {
		case <-p.ended:
			return true
		case <-time.After(5 * time.Millisecond):
		}
		if p.ready() == 200 {
			return false
		}
	}
	p.t.Fatalf("it neither serves nor ends; the log is\n%s", p.log)
	return false
}

// TestDiskHangs has no sync end for some seconds, as on a volume that moves to another machine.
func TestDiskHangs(t *testing.T) {
	t.Parallel() // it waits most of the time
	p := newProcess(t, map[string]int{"a": 0})
	p.serve()
	commits, releases := p.allow("a", 10, 900), p.allow("a", 10, 900)
	fault := p.inject("fdatasync:delay_enter=60000000")
	for i := range commits {
		p.unavailable()
		asked := time.Now()
		if err := errors.Join(p.commit("a", commits[i]), p.release("a", releases[i])); err != nil {
			t.Errorf("while the disk hangs: %v", err)
		}
		left := int64(2 * (len(commits) - i - 1))
		p.wantBetween("a", left, left+refusedLate, int64(i+1))
		if took := time.Since(asked); took > inTime {
			t.Errorf("a commit, a release and the usage took %s", took)
		}
	}
	time.Sleep(3 * time.Second)
	p.unavailable()
	fault.end()
	took := p.available()
	t.Logf("checks were allowed %s after the disk answered again", took)
	if took > recoversIn {
		t.Errorf("it took %s to recover", took)
	}
	p.kill()
	p.serve()
	p.wantBetween("a", 1, 1+refusedLate, int64(len(commits)))
	p.stop()
}

// refusedLate is how many checks may hold a slot though they were refused: those that came before
// it was known that the disk does not answer.
const refusedLate = 2

// TestSIGTERMWhileTheDiskHangs: the process does not hang with it.
func TestSIGTERMWhileTheDiskHangs(t *testing.T) {
	t.Parallel() // it waits most of the time
	p := newProcess(t, map[string]int{"a": 0})
	p.serve()
	p.allow("a", 10, 900)
	fault := p.inject("fdatasync:delay_enter=60000000")
	p.unavailable()
	p.signal(syscall.SIGTERM)
	asked := time.Now()
	p.untilLog("the disk does not answer")
	t.Logf("it gave up %s after SIGTERM", time.Since(asked))
	fault.end() // the kernel keeps a process whose sync has not ended
	p.refuses(patience)
	p.serve()
	p.wantBetween("a", 10, 10+refusedLate, 0)
	p.stop()
}
