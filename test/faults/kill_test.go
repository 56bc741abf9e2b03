//go:build faults

package faults

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

const (
	// defaultKills is how often the process is killed. SLUICE_KILLS says another number.
	defaultKills = 20
	// startTakes is about how long a start takes, for kills in the middle of one.
	startTakes = 80 * time.Millisecond
)

func kills(t *testing.T) int {
	t.Helper()
	text := os.Getenv("SLUICE_KILLS")
	if text == "" {
		return defaultKills
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("SLUICE_KILLS must be a number, not %q", text)
	}
	return n
}

// TestKillUnderLoad kills the process again and again, one time in four while it starts.
func TestKillUnderLoad(t *testing.T) {
	p := newProcess(t, fleetAccounts)
	p.serve()
	f := startFleet(p)
	var slowest time.Duration
	for range kills(t) {
		time.Sleep(rand.N(500 * time.Millisecond))
		p.kill()
		if rand.IntN(4) == 0 {
			p.start()
			time.Sleep(rand.N(startTakes))
			p.kill()
		}
		slowest = max(slowest, p.serve())
		f.verify()
		if t.Failed() {
			t.Fatalf("the log of the last start is\n%s", p.log)
		}
	}
	f.finish()
	t.Logf("the slowest start was ready in %s; %d reservations were outstanding after a kill, and "+
		"their deadlines moved by up to %s", slowest, f.recalled, f.drift)
	p.stop()
}

// TestKillDuringTheFirstStart kills the process as soon as a file is there, so that the journal is
// left in each of the states in which it is before it is one.
func TestKillDuringTheFirstStart(t *testing.T) {
	for _, file := range []string{
		"FORMAT", "owner", "durable", "db", "db/LOCK", "db/MANIFEST-*", "db/marker.manifest.*",
		"db/*.log", "db/marker.format-version.*", "db/OPTIONS-*", "db/*.sst",
	} {
		p := newProcess(t, map[string]int{"a": 10})
		p.start()
		p.untilFile(file)
		p.kill()
		p.serve()
		p.allow("a", 1, 60)
		p.kill()
		p.serve()
		p.want("a", 1, 0)
		p.kill()
	}
}

// untilFile waits until there is a file in the data directory, and not a millisecond longer.
func (p *process) untilFile(pattern string) {
	p.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if found, _ := filepath.Glob(filepath.Join(p.data, pattern)); len(found) > 0 {
			return
		}
	}
	p.t.Fatalf("there is no %s; the log is\n%s", pattern, p.log)
}
