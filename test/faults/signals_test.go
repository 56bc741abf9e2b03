//go:build faults

package faults

import (
	"encoding/json"
	"maps"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-mail/sluice/api/httpv1"
)

// TestStoppedLongerThanADeadline freezes the process, as a machine that hangs does.
func TestStoppedLongerThanADeadline(t *testing.T) {
	t.Parallel() // it waits most of the time
	accounts := map[string]int{"held": 10, "asked": 1}
	maps.Copy(accounts, fleetAccounts)
	p := newProcess(t, accounts)
	p.serve()
	f := startFleet(p)
	time.Sleep(time.Second)
	p.allow("held", 6, 1)
	p.signal(syscall.SIGSTOP)
	answer := make(chan httpv1.CheckResponse)
	go func() {
		d, err := p.check("asked", newID(), 1)
		if err != nil {
			t.Errorf("a check while it was stopped: %v", err)
		}
		answer <- d
	}()
	time.Sleep(3 * time.Second)
	p.signal(syscall.SIGCONT)
	// The slot is held from when the check was decided, not from when it was sent.
	if d := <-answer; d.Decision != httpv1.Allow || time.Until(d.Reservation.ExpiresAt.Time) < 0 {
		t.Errorf("a check while it was stopped got %+v", d)
	}
	p.want("held", 0, 6)
	p.allow("held", 4, 60)
	if d, err := p.check("held", newID(), 60); err != nil || d.Decision != httpv1.Defer {
		t.Errorf("the eleventh check of ten got %+v, %v", d, err)
	}
	time.Sleep(time.Second)
	f.finish()
	p.stop()
}

// TestSIGTERMUnderLoad ends the process in the middle of calls. What it has done it has answered,
// and so the journal has neither more nor less than was acknowledged.
func TestSIGTERMUnderLoad(t *testing.T) {
	p := newProcess(t, fleetAccounts)
	p.serve()
	f := startFleet(p)
	time.Sleep(time.Second)
	asked := time.Now()
	p.stop()
	t.Logf("it ended %s after SIGTERM", time.Since(asked))
	// Until the next start, nobody gets an answer any more.
	time.Sleep(10 * repeatAfter)
	acknowledged := map[string]tally{}
	for _, m := range f.boxes {
		acknowledged[m.name] = m.now()
	}
	p.verifyWhole(acknowledged)
	p.serve()
	f.finish()
	p.stop()
}

// verifyWhole wants `sluice journal` to find the journal whole, and in it what was acknowledged.
func (p *process) verifyWhole(acknowledged map[string]tally) {
	p.t.Helper()
	out, code := sluiceCommand(p.t, "journal", "verify", p.data)
	if first, _, _ := strings.Cut(out, "\n"); code != 0 || !strings.HasSuffix(first, "whole") {
		p.t.Errorf("verify ended with %d:\n%s", code, out)
	}
	out, code = sluiceCommand(p.t, "journal", "dump", "--records", p.data)
	if code != 0 {
		p.t.Errorf("dump ended with %d:\n%s", code, out)
	}
	found := 0
	for line := range strings.Lines(out) {
		var l struct {
			Kind, Name          string
			Sends, Reservations int
		}
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			p.t.Fatalf("this line of the dump is no JSON: %s", line)
		}
		if l.Kind != "" { // a record
			continue
		}
		found++
		want := acknowledged[l.Name].acknowledged - acknowledged[l.Name].released
		if l.Sends+l.Reservations != want {
			p.t.Errorf("%s has %d sends and %d reservations, but %d were acknowledged",
				l.Name, l.Sends, l.Reservations, want)
		}
	}
	if found != len(acknowledged) {
		p.t.Errorf("the dump has %d accounts, want %d", found, len(acknowledged))
	}
}

// TestSIGTERMWithASlowDisk: commits and releases do not wait for the disk, but the end does.
func TestSIGTERMWithASlowDisk(t *testing.T) {
	t.Parallel() // it waits most of the time
	p := newProcess(t, map[string]int{"a": 0})
	p.serve()
	ids := p.allow("a", 20, 900)
	fault := p.inject("fdatasync:delay_enter=500000")
	for _, id := range ids[:10] {
		mustAll(t, p.commit("a", id))
	}
	for _, id := range ids[10:15] {
		mustAll(t, p.release("a", id))
	}
	p.stop()
	fault.end()
	if fault.spoiled() == 0 {
		t.Error("the disk was not slow")
	}
	p.serve()
	p.want("a", 5, 10)
	p.stop()
}
