//go:build faults

package faults

import (
	"context"
	"errors"
	"net/http"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-mail/sluice/api/httpv1"
	"github.com/sluice-mail/sluice/client/sluice"
)

const (
	volumeSize = 64 // MiB
	// recoversIn is how long it may take until checks are allowed again.
	recoversIn = 5 * time.Second
)

// onVolume makes a process whose data directory is in a volume.
func onVolume(t *testing.T, accounts map[string]int) (*process, *volume) {
	v := newVolume(t, volumeSize)
	p := newProcess(t, accounts) // ends before the volume does
	p.data = filepath.Join(v.dir, "data")
	return p, v
}

// exhaust makes reservations until the log needs more room than there is. It returns how many were
// acknowledged.
func (p *process) exhaust(name string) (acknowledged int64) {
	p.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		batch := httpv1.CheckBatchRequest{Checks: make([]httpv1.CheckItem, httpv1.MaxBatch)}
		for i := range batch.Checks {
			batch.Checks[i] = httpv1.CheckItem{Account: key(name), CheckRequest: httpv1.CheckRequest{
				ID: new(newID()), TTLSeconds: new(int64(900))}}
		}
		began := time.Now()
		_, err := p.client.CheckBatch(context.Background(), batch)
		if took := time.Since(began); took > inTime {
			p.t.Errorf("a batch was answered after %s", took)
		}
		if errors.Is(err, sluice.ErrStoreUnavailable) {
			return acknowledged
		}
		if err != nil {
			p.t.Fatalf("a batch: %v; the log is\n%s", err, p.log)
		}
		acknowledged += httpv1.MaxBatch
	}
	p.t.Fatal("the disk does not get full")
	return 0
}

// TestFullDisk fills the disk while the process runs, and makes room again.
func TestFullDisk(t *testing.T) {
	p, v := onVolume(t, map[string]int{"a": 0, "b": 0, "full": 1})
	p.serve()
	commits, releases := p.allow("a", 20, 900), p.allow("a", 20, 900)
	p.allow("full", 1, 900)
	v.fill()
	acknowledged := p.exhaust("b")
	p.untilLog("the disk is full")
	for i := range commits {
		p.unavailable()
		if err := errors.Join(p.commit("a", commits[i]), p.release("a", releases[i])); err != nil {
			t.Errorf("with a full disk: %v", err)
		}
		left := int64(2 * (len(commits) - i - 1))
		p.wantBetween("a", left, left+refusedLate, int64(i+1))
	}
	if status := p.ready(); status != http.StatusOK {
		t.Errorf("/readyz answers %d", status)
	}
	v.free()
	took := p.available()
	t.Logf("with room again, checks were allowed after %s", took)
	if took > recoversIn {
		t.Errorf("it took %s to recover", took)
	}
	p.untilLog("there is room on the disk again")
	p.kill()
	p.serve()
	p.wantBetween("a", 1, 1+refusedLate, int64(len(commits)))
	p.wantBetween("b", acknowledged, acknowledged+httpv1.MaxBatch, 0)
	p.stop()
}

// TestKillWithAFullDisk kills the process then, and starts it before there is room.
func TestKillWithAFullDisk(t *testing.T) {
	p, v := onVolume(t, map[string]int{"a": 0, "b": 0})
	p.serve()
	p.allow("a", 10, 900)
	v.fill()
	acknowledged := p.exhaust("b")
	p.unavailable()
	p.kill()
	p.start()
	p.waitsForRoom()
	v.free()
	p.untilReady()
	p.wantBetween("a", 10, 10+refusedLate, 0)
	p.wantBetween("b", acknowledged, acknowledged+httpv1.MaxBatch, 0)
	p.available()
	p.stop()
}

// TestFullDiskAtTheStart starts on a full disk, for the first time.
func TestFullDiskAtTheStart(t *testing.T) {
	p, v := onVolume(t, map[string]int{"a": 1})
	v.fill()
	p.start()
	p.waitsForRoom()
	p.signal(syscall.SIGTERM) // somebody gives up
	if code := p.wait(patience); code != 0 {
		t.Errorf("SIGTERM ended it with %d while it waited; the log is\n%s", code, p.log)
	}
	t.Logf("SIGTERM ended it after %s of waiting", time.Since(p.started))
	p.start()
	p.waitsForRoom()
	v.free()
	p.untilReady()
	p.allow("a", 1, 60)
	p.stop()
}

// waitsForRoom wants the process to say that the disk is full, and to admit nothing.
func (p *process) waitsForRoom() {
	p.t.Helper()
	p.untilLog("the disk is full")
	if status := p.ready(); status != http.StatusServiceUnavailable {
		p.t.Errorf("/readyz answers %d", status)
	}
	if _, err := p.check("a", newID(), 60); !errors.Is(err, sluice.ErrNotReady) {
		p.t.Errorf("a check got %v", err)
	}
}

// TestSIGTERMWithAFullDisk loses at most a commit, and says so.
func TestSIGTERMWithAFullDisk(t *testing.T) {
	t.Parallel() // it waits most of the time
	p, v := onVolume(t, map[string]int{"a": 0, "b": 0})
	p.serve()
	ids := p.allow("a", 10, 900)
	v.fill()
	acknowledged := p.exhaust("b")
	if err := p.commit("a", ids[0]); err != nil {
		t.Error(err)
	}
	p.signal(syscall.SIGTERM)
	asked := time.Now()
	p.refuses(patience, "could not be closed", "no space left on device")
	t.Logf("it ended %s after SIGTERM", time.Since(asked))
	v.free()
	p.serve()
	p.wantBetween("a", 10, 10, 0)
	p.wantBetween("b", acknowledged, acknowledged+httpv1.MaxBatch, 0)
	p.stop()
}
