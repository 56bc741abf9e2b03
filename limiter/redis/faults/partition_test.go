package faults

import (
	"testing"

	"github.com/sluice-mail/sluice/limiter/redis/redistest"
)

// TestPartition has the packets of one replica go nowhere: its connections stay, and nothing comes.
// With -tags faults namespaces_test.go has the kernel lose them.
func TestPartition(t *testing.T) {
	t.Parallel()
	s := redistest.New(t, redistest.Options{})
	p := redistest.NewProxy(t, s.Address())
	partitionIsClosed(t, s.URL(), "redis://"+p.Address(), p.Silence, func() { p.Heal(t) })
}

// partitionIsClosed wants a replica beyond a partition to let nobody through, the other one to go
// on, and both to agree when the partition is over.
func partitionIsClosed(t *testing.T, hereURL, thereURL string, begin, end func()) {
	t.Helper()
	here, there := ready(t, options(hereURL), limits), ready(t, options(thereURL), limits)
	l := send(t, here, there)
	l.awaitAllowed(20)
	begin()
	_ = there.awaitAway(t)
	l.wantRefused(there)
	alone := l.also(there)
	alone.awaitRefused(50)
	l.awaitAllowed(20)
	if n := alone.allowed.Load(); n > 0 {
		t.Errorf("%d were allowed beyond the partition", n)
	}
	end()
	alone.awaitAllowed(1)
	alone.end()
	l.finish(limits)
}
