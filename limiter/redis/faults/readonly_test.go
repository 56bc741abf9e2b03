package faults

import (
	"strings"
	"testing"

	"github.com/sluice-mail/sluice/limiter/redis/redistest"
)

// TestReadOnlyServer has the server become a replica, which takes no writes, and a primary again.
func TestReadOnlyServer(t *testing.T) {
	t.Parallel()
	s := redistest.New(t, redistest.Options{})
	all := pair(t, options(s.URL()))
	l := send(t, all...)
	l.awaitAllowed(20)
	s.Command(t, "REPLICAOF", "127.0.0.1", "1")
	for _, r := range all {
		if why := r.awaitAway(t); !strings.Contains(why.Error(), "read-only replica") {
			t.Error(why)
		}
		l.wantRefused(r)
	}
	s.Command(t, "REPLICAOF", "NO", "ONE")
	l.awaitAllowed(20)
	l.finish(limits)
}
