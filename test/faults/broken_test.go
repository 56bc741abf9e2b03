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

// TestSyncFails has each fdatasync fail. Nothing is acknowledged any more, and the process ends: the
// next one reads what the disk really has.
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
	// What was refused may have been written.
	if inFlight, used := p.counted("a"); inFlight < 50 || inFlight > 50+callers || used > 0 {
		t.Errorf("a has %d in flight and %d sent, but 50 were acknowledged", inFlight, used)
	}
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
			if err == nil {
				p.t.Errorf("a check got %+v", d)
			} else if !errors.Is(err, sluice.ErrStoreUnavailable) && !errors.Is(err, sluice.ErrNoAnswer) {
				p.t.Errorf("a check got %v", err)
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
	least := allowed.Load()
	if inFlight, _ := p.counted("a"); inFlight < least || inFlight > least+refused.Load() {
		t.Errorf("a has %d in flight, but %d were acknowledged and %d refused",
			inFlight, least, refused.Load())
	}
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
	if inFlight, _ := p.counted("a"); inFlight < 50 || inFlight > 50+callers {
		t.Errorf("a has %d in flight, but 50 were acknowledged", inFlight)
	}
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

// TestDiskHangs has a sync take as long as a volume takes that moves to another machine.
func TestDiskHangs(t *testing.T) {
	p := newProcess(t, map[string]int{"a": 0, "full": 1})
	p.serve()
	commits, releases := p.allow("a", 10, 900), p.allow("a", 10, 900)
	p.allow("full", 1, 900)
	const hangs = 5 * time.Second
	began := time.Now()
	fault := p.inject(fmt.Sprintf("fdatasync:delay_enter=%d:when=1", hangs.Microseconds()))
	for i := range commits {
		p.unavailable("a")
		asked := time.Now()
		if err := errors.Join(p.commit("a", commits[i]), p.release("a", releases[i])); err != nil {
			t.Errorf("while the disk hangs: %v", err)
		}
		p.want("a", p.inFlight("a"), int64(i+1))
		if took := time.Since(asked); took > inTime {
			t.Errorf("a commit, a release and the usage took %s", took)
		}
	}
	if time.Since(began) > hangs {
		t.Error("the disk did not hang long enough for this")
	}
	p.available("a")
	t.Logf("checks were allowed again %s after a sync of %s began", time.Since(began), hangs)
	fault.end()
	if fault.spoiled() == 0 {
		t.Error("the disk did not hang")
	}
	p.kill()
	p.serve()
	if _, used := p.counted("a"); used != int64(len(commits)) {
		t.Errorf("a has %d sent, want %d", used, len(commits))
	}
	p.stop()
}

func (p *process) inFlight(name string) int64 {
	p.t.Helper()
	inFlight, _ := p.counted(name)
	return inFlight
}

// TestSIGTERMWhileTheDiskHangs: the process does not hang with it.
func TestSIGTERMWhileTheDiskHangs(t *testing.T) {
	p := newProcess(t, map[string]int{"a": 0})
	p.serve()
	p.allow("a", 10, 900)
	fault := p.inject("fdatasync:delay_enter=60000000")
	p.unavailable("a")
	p.signal(syscall.SIGTERM)
	asked := time.Now()
	p.untilLog("the disk does not answer")
	t.Logf("it gave up %s after SIGTERM", time.Since(asked))
	fault.end() // the kernel keeps a process whose sync has not ended
	p.refuses(patience)
	p.serve()
	if n := p.inFlight("a"); n < 10 || n > 11 {
		t.Errorf("a has %d in flight, but 10 were acknowledged", n)
	}
	p.stop()
}
