package faults

import (
	"sync"
	"testing"

	"github.com/sluice-mail/sluice/limiter/redis/redistest"
)

// TestFlushedScripts has the server forget the scripts again and again.
func TestFlushedScripts(t *testing.T) {
	t.Parallel()
	s := redistest.New(t, redistest.Options{})
	l := send(t, pair(t, options(s.URL()))...)
	for range 20 {
		l.awaitAllowed(10)
		s.Command(t, "SCRIPT", "FLUSH")
	}
	l.finish(limits)
}

// TestBusyServer has the script of another keep the server busy until an operator kills it. Scripts
// of ours may be killed, too.
func TestBusyServer(t *testing.T) {
	t.Parallel()
	s := redistest.New(t, redistest.Options{})
	s.Command(t, "CONFIG", "SET", "lua-time-limit", "50")
	all := pair(t, options(s.URL()))
	l := send(t, all...)
	l.awaitAllowed(20)
	var other sync.WaitGroup
	other.Go(func() { _ = s.Try(t.Context(), "EVAL", "while true do end", "0") })
	for _, r := range all {
		_ = r.awaitAway(t)
		l.wantRefused(r)
	}
	until(t, "the script is killed", s.KillScript)
	other.Wait()
	for range 100 {
		_ = s.KillScript() // mostly there is none that runs
	}
	l.awaitAllowed(20)
	l.finish(limits)
}
