//go:build faults

package faults

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"syscall"
	"testing"

	"github.com/sluice-mail/sluice/api/httpv1"
	"github.com/sluice-mail/sluice/client/sluice"
)

const (
	// The load: reservations of many accounts, all outstanding. They need more than 120 MiB.
	manyAccounts = 2_000
	manyChecks   = 800_000
	tooLittle    = 90 << 20
	podMemory    = 512 << 20 // the chart's default for resources.limits.memory
)

func manyLimits() map[string]int {
	of := map[string]int{}
	for i := range manyAccounts {
		of[fmt.Sprintf("many-%d", i)] = 0
	}
	return of
}

// load has reservations made in batches, until there are enough or there is no answer any more. It
// returns how many of each account were acknowledged, and how many asked for.
func (p *process) load(names []string) (acknowledged, asked map[string]int64, err error) {
	acknowledged, asked = map[string]int64{}, map[string]int64{}
	for n := 0; n < manyChecks; {
		var batch httpv1.CheckBatchRequest
		for range httpv1.MaxBatch {
			name, id, ttl := names[n%len(names)], newID(), int64(900)
			batch.Checks = append(batch.Checks, httpv1.CheckItem{Account: key(name),
				CheckRequest: httpv1.CheckRequest{ID: &id, TTLSeconds: &ttl}})
			asked[name]++
			n++
		}
		r, err := p.client.CheckBatch(context.Background(), batch)
		if err != nil {
			return acknowledged, asked, err
		}
		for i, result := range r.Results {
			if result.Problem != nil || result.Decision != httpv1.Allow {
				return acknowledged, asked, fmt.Errorf("a check got %+v", result)
			}
			acknowledged[batch.Checks[i].Name]++
		}
	}
	return acknowledged, asked, nil
}

// list returns what each account counts.
func (p *process) list() map[string]int64 {
	p.t.Helper()
	all := map[string]int64{}
	request := sluice.ListRequest{Limit: 1000}
	for {
		page, err := p.client.List(context.Background(), request)
		if err != nil {
			p.t.Fatal(err)
		}
		for _, u := range page.Accounts {
			all[u.Name] = u.InFlight + usedToday(u)
		}
		if page.Continue == "" {
			return all
		}
		request.Continue = page.Continue
	}
}

// TestOutOfMemory has the kernel kill the process for want of memory.
func TestOutOfMemory(t *testing.T) {
	p := newProcess(t, manyLimits())
	g := newMemoryGroup(t, tooLittle)
	t.Cleanup(p.kill) // before the cgroup goes
	p.wrapper = g.enter()
	p.serve()
	acknowledged, asked, err := p.load(slices.Sorted(maps.Keys(manyLimits())))
	if err == nil {
		t.Fatalf("the load is too small: it took %d MiB", g.most())
	}
	p.wait(patience)
	status := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if g.kills() == 0 || status.Signal() != syscall.SIGKILL {
		t.Fatalf("it was not killed for want of memory, but ended with %v, after %v; the log is\n%s",
			p.err, err, p.log)
	}
	p.wrapper = nil
	took := p.serve()
	total := int64(0)
	for name, counted := range p.list() {
		if counted < acknowledged[name] || counted > asked[name] {
			t.Errorf("%s counts %d, but %d were acknowledged and %d asked for",
				name, counted, acknowledged[name], asked[name])
		}
		total += counted
	}
	t.Logf("killed with %d reservations, and ready again in %s", total, took)
	p.stop()
}

// TestTheChartsMemoryIsEnough has the same load in as much memory as the chart gives by default.
func TestTheChartsMemoryIsEnough(t *testing.T) {
	p := newProcess(t, manyLimits())
	g := newMemoryGroup(t, podMemory)
	t.Cleanup(p.kill)
	p.wrapper = g.enter()
	p.env = []string{fmt.Sprintf("GOMEMLIMIT=%d", podMemory/10*9)}
	p.serve()
	if _, _, err := p.load(slices.Sorted(maps.Keys(manyLimits()))); err != nil {
		t.Errorf("%v; the log is\n%s", err, p.log)
	}
	if n := g.kills(); n > 0 {
		t.Errorf("the kernel killed it %d times", n)
	}
	t.Logf("the group had up to %d MiB, with what the kernel caches of files", g.most())
	p.stop()
}
