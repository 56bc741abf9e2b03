//go:build faults

package faults

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-mail/sluice/api/httpv1"
	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/journal"
)

// flip inverts a byte of a file, at so many percent of it.
func flip(t *testing.T, file string, percent int64) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err == nil {
		text[int64(len(text))*percent/100] ^= 0xff
		err = os.WriteFile(file, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// largest returns the largest file with a suffix of the database.
func (p *process) largest(suffix string) (file string) {
	p.t.Helper()
	size := int64(-1)
	all, err := filepath.Glob(filepath.Join(p.data, "db", "*"+suffix))
	if err != nil || len(all) == 0 {
		p.t.Fatalf("there is no %s: %v", suffix, err)
	}
	for _, name := range all {
		if info, err := os.Stat(name); err == nil && info.Size() > size {
			file, size = name, info.Size()
		}
	}
	return file
}

var choices = []string{"the journal is damaged", "restore the volume from a backup",
	"sluice journal verify", "sluice journal dump", "--accept-loss="}

// refusesDamage wants a start and `sluice journal verify` to refuse the journal, and to say where
// it is damaged and what the choices are.
func (p *process) refusesDamage(where string) {
	p.t.Helper()
	p.start()
	p.refuses(patience, append(choices, where)...)
	out, code := sluiceCommand(p.t, "journal", "verify", p.data)
	for _, text := range append(choices, where) {
		if code != 1 || !strings.Contains(out, text) {
			p.t.Errorf("verify ended with %d, and does not say %q:\n%s", code, text, out)
		}
	}
}

// TestDamagedFiles inverts a byte of each kind of file, and then accepts the loss of everything.
func TestDamagedFiles(t *testing.T) {
	for name, c := range map[string]struct {
		suffix string
		checks int
		where  string // what the message names, in the data directory
		aside  bool   // the database cannot be opened: it is set aside as a whole
	}{
		// What follows in the log shows that there was more.
		"a long log": {".log", 2000, "db/%s: ", true},
		// Nothing follows that shows it, but it is known how far the log once was on the disk.
		"a short log": {".log", 50, "db: it ends with record ", false},
		"a snapshot":  {".sst", 50, "db/%s, ", true},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProcess(t, map[string]int{"a": 0})
			p.serve()
			p.allowAtOnce("a", c.checks)
			p.stop()
			file := p.largest(c.suffix)
			flip(t, file, 40)
			where := c.where
			if strings.Contains(where, "%s") {
				where = fmt.Sprintf(where, filepath.Base(file))
			}
			p.refusesDamage(filepath.Join(p.data, where))
			before := fingerprint(t, filepath.Join(p.data, "db"))
			p.args = []string{"--accept-loss=all"}
			p.serve()
			t.Log(p.logLine("accept-loss"))
			if c.aside {
				p.wantSetAside(c.suffix, before)
			}
			p.allow("a", 1, 900)
			p.kill()
			p.args = nil
			p.serve()
			if inFlight, _ := p.counted("a"); inFlight < 1 || inFlight > int64(c.checks) {
				t.Errorf("a has %d in flight", inFlight)
			}
			p.stop()
			if out, code := sluiceCommand(t, "journal", "verify", p.data); code != 0 {
				t.Errorf("verify ended with %d:\n%s", code, out)
			}
		})
	}
}

// allowAtOnce makes many reservations, each in a frame of the log of its own or with few others.
func (p *process) allowAtOnce(name string, n int) {
	p.t.Helper()
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for range n / 4 {
				if d, err := p.check(name, newID(), 900); err != nil || d.Decision != httpv1.Allow {
					p.t.Errorf("a check got %+v, %v", d, err)
					return
				}
			}
		})
	}
	group.Wait()
}

// wantSetAside wants the files with a suffix of a damaged journal to be there still.
func (p *process) wantSetAside(ext string, before map[string]string) {
	p.t.Helper()
	aside, err := filepath.Glob(filepath.Join(p.data, "damaged-*"))
	if err != nil || len(aside) != 1 {
		p.t.Fatalf("it was not set aside: %q, %v", aside, err)
	}
	after := fingerprint(p.t, aside[0])
	for name, want := range before {
		moved := strings.Replace(name, filepath.Join(p.data, "db"), aside[0], 1)
		if filepath.Ext(name) == ext && after[moved] != want {
			p.t.Errorf("%s was %s, and is %s", name, want, after[moved])
		}
	}
}

// TestDamageOfSomeAccounts inverts a byte in the middle of a snapshot. It is in what the snapshot
// has of few accounts, which the message names; all others are what they were.
func TestDamageOfSomeAccounts(t *testing.T) {
	accounts := map[string]int{}
	for i := range 400 {
		accounts[fmt.Sprintf("account-%d", i)] = 0
	}
	p := newProcess(t, accounts)
	writeSnapshot(t, p.data, slices.Sorted(maps.Keys(accounts)))
	p.serve()
	before := p.list()
	p.stop()
	snapshot := p.largest(".sst")
	flip(t, snapshot, 50)
	p.refusesDamage("What these accounts sent cannot be read: faults/account-")
	named := regexp.MustCompile(`--accept-loss=(\S+), which`).FindStringSubmatch(p.log.String())
	if named == nil {
		t.Fatalf("no accounts are named:\n%s", p.log)
	}
	lost := strings.Split(named[1], ",")
	if len(lost) > len(accounts)/4 {
		t.Errorf("%d of %d accounts are lost: %s", len(lost), len(accounts), named[1])
	}
	p.args = []string{"--accept-loss=faults/another"}
	p.start()
	p.refuses(patience, choices...)
	p.args = []string{"--accept-loss=" + named[1]}
	p.serve()
	p.wantAllBut(lost, before)
	p.kill()
	p.args = nil
	p.serve()
	p.wantAllBut(lost, before)
	p.stop()
	t.Logf("a byte of %s cost %s, of %d accounts", filepath.Base(snapshot), named[1], len(accounts))
}

// wantAllBut wants all accounts to count what they did before, but those that are lost.
func (p *process) wantAllBut(lost []string, before map[string]int64) {
	p.t.Helper()
	for name, counted := range p.list() {
		want := before[name]
		if slices.Contains(lost, namespace+"/"+name) {
			want = 0
		}
		if counted != want {
			p.t.Errorf("%s counts %d, want %d", name, counted, want)
		}
	}
}

// writeSnapshot makes a journal with a snapshot, which is taken once the log is long enough. By
// HTTP that would take much longer.
func writeSnapshot(t *testing.T, dir string, names []string) {
	t.Helper()
	registry := prometheus.NewRegistry()
	s := journal.New(journal.Options{Dir: dir, Registry: registry})
	if _, err := s.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	var accounts []limiter.Account
	for _, name := range names {
		accounts = append(accounts, s.Open(limiter.Key{Namespace: namespace, Name: name}, "folder"))
	}
	s.Loaded()
	deadline := time.Now().Add(patience)
	for n := 0; !hasSnapshot(t, registry); n++ {
		sendMany(t, s, accounts[n%len(accounts)], s.Clock().Now(), n)
		if time.Now().After(deadline) {
			t.Fatal("no snapshot was taken")
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func hasSnapshot(t *testing.T, registry *prometheus.Registry) bool {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "sluice_journal_snapshot_duration_seconds" {
			return f.GetMetric()[0].GetHistogram().GetSampleCount() > 0
		}
	}
	t.Fatal("there is no metric of snapshots")
	return false
}

// sendMany checks and commits in one batch.
func sendMany(t *testing.T, s *journal.Store, a limiter.Account, now limiter.Instant, n int) {
	t.Helper()
	var policy limiter.CurrentPolicy
	policy.Store(&limiter.Policy{})
	var calls []limiter.AccountCall
	for i := range 1000 {
		ask := limiter.Ask{ID: fmt.Sprintf("%d-%d", n, i), Cost: 1, TTL: time.Minute}
		for _, verb := range []limiter.Verb{limiter.ToCheck, limiter.ToCommit} {
			calls = append(calls, limiter.AccountCall{
				Call: &limiter.Call{Verb: verb, Ask: ask}, Account: a, Policy: &policy,
			})
		}
	}
	if err := s.Do(context.Background(), now, calls); err != nil {
		t.Fatal(err)
	}
	for _, c := range calls {
		if c.Err != nil {
			t.Fatal(c.Err)
		}
	}
}
