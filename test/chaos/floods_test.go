//go:build chaos

package chaos

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	flooders  = 16
	batchSize = 1000
)

// TestUnknownAccounts asks for a million accounts that do not exist, in calls of their own and in
// batches. Neither the heap nor the metrics may grow with them, and the log has a few lines, and
// counts the others.
func TestUnknownAccounts(t *testing.T) {
	p := start(t)
	names := full(1_000_000, 50_000)
	warm := names / 5
	p.unknown(0, warm)
	before := slices.Sorted(maps.Keys(p.series()))
	residentBefore, heapBefore := p.memory()
	p.unknown(warm, names)
	resident, heap := p.memory()
	t.Logf("%.0f MiB are resident, were %.0f; the heap may have %.0f MiB, could have %.0f",
		resident, residentBefore, heap, heapBefore)
	if resident > residentBefore+32 || heap > heapBefore+8 {
		t.Error("the memory grows")
	}
	if diff := cmp.Diff(before, slices.Sorted(maps.Keys(p.series()))); diff != "" {
		t.Errorf("the metrics grow: %s", diff)
	}
	p.until("every call is logged or counted", func() bool { return p.failures() == names })
	logged := 0
	for _, line := range p.lines() {
		if line["msg"] == "request failed" {
			logged++
		}
	}
	if windows := strings.Count(p.log.String(), "were left out"); logged > 10*(windows+1) {
		t.Errorf("%d lines were logged in %d times ten seconds", logged, windows)
	}
	t.Logf("%d lines of %d were logged", logged, names)
}

// unknown asks for accounts by number, each in a call of its own and in a batch.
func (p *process) unknown(from, to int) {
	p.t.Helper()
	var all sync.WaitGroup
	errs := make([]error, flooders)
	for i := range flooders {
		all.Go(func() { errs[i] = p.flood(from+i, to) })
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			p.t.Fatal(err)
		}
	}
}

// flood asks for every flooders-th account.
func (p *process) flood(from, to int) error {
	c, err := p.connect()
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	var items []string
	for n := from; n < to; n += flooders {
		path := fmt.Sprintf("/v1/accounts/flood-%d/name-%d/check", n, n)
		if status, err := c.ask(http.MethodPost, path, ""); status != http.StatusNotFound {
			return fmt.Errorf("%s got %d, %w", path, status, err)
		}
		items = append(items,
			fmt.Sprintf(`{"namespace":"flood-%d","name":"item-%d"}`, n, n))
		if len(items) < batchSize && n+flooders < to {
			continue
		}
		body := `{"checks":[` + strings.Join(items, ",") + `]}`
		if status, err := c.ask(http.MethodPost, "/v1/check", body); status != http.StatusOK {
			return fmt.Errorf("a batch got %d, %w", status, err)
		}
		items = items[:0]
	}
	return nil
}

// failures returns how many calls that failed are logged, or counted by the log.
func (p *process) failures() (n int) {
	for _, line := range p.lines() {
		switch {
		case line["msg"] == "request failed" && line["status"] == 404.:
			n++
		case line["kind"] == "https://sluice.dev/problems/account-not-found":
			lines, _ := line["lines"].(float64)
			n += int(lines)
		}
	}
	return n
}
