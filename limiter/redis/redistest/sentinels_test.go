package redistest_test

import (
	"testing"

	"github.com/sluice-mail/sluice/limiter/redis/redistest"
)

// TestFailoverLosesWrites has a primary die with what it did not tell its replicas. It comes back
// as a replica. Then the Sentinels change the primary while all are well.
func TestFailoverLosesWrites(t *testing.T) {
	t.Parallel()
	all := redistest.NewSentinels(t, redistest.Options{})
	first := all.Primary(t)
	first.Command(t, "SET", "kept", "v")
	all.AwaitReplicas(t, 2)
	all.StopReplication(t)
	first.Command(t, "SET", "lost", "v")
	first.Kill(t)
	second := all.Failover(t)
	if !exists(t, second, "kept") || exists(t, second, "lost") {
		t.Error("the second primary has not what it should")
	}
	all.Rejoin(t, first)
	if exists(t, first, "lost") || !exists(t, first, "kept") {
		t.Error("the first primary did not become a replica")
	}
	if third := all.Failover(t); third == second {
		t.Error("there was no failover")
	}
}
