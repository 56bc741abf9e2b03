package redistest

import (
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/sluice-mail/sluice/limiter/limitertest"
)

// MasterSet is the name by which Sentinels know their servers.
const MasterSet = "sluice"

const replicas, sentinels, quorum = 2, 3, 2

// Sentinels are a primary and its two replicas, and three Sentinels that watch them. They replace a
// primary when a test says so: on a busy machine they would take a healthy one for dead, too.
type Sentinels struct {
	Servers   []*Server // the first began as the primary
	Sentinels []*Server
}

// NewSentinels starts them, and waits until all know each other. They end with the test.
func NewSentinels(t limitertest.TB, o Options) *Sentinels {
	t.Helper()
	o.Arguments = append([]string{
		"--masteruser", replicationName, "--masterauth", replicationPassword,
		"--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1",
	}, o.Arguments...)
	if len(o.ACL) > 0 {
		o.ACL = append([]string{"user " + replicationRules}, o.ACL...)
	} else {
		user := append([]string{"--user"}, strings.Fields(replicationRules)...)
		o.Arguments = append(user, o.Arguments...)
	}
	all := &Sentinels{}
	for range 1 + replicas {
		all.Servers = append(all.Servers, New(t, o))
	}
	first := all.Servers[0]
	host, port := first.options.Host, fmt.Sprint(first.port.number)
	for _, s := range all.Servers[1:] {
		s.Command(t, "REPLICAOF", host, port)
	}
	for range sentinels {
		all.Sentinels = append(all.Sentinels, New(t, Options{sentinel: true, Arguments: []string{
			"--sentinel monitor", MasterSet, host, port, fmt.Sprint(quorum),
			"--sentinel down-after-milliseconds", MasterSet, "60000",
			"--sentinel failover-timeout", MasterSet, "10000",
			"--sentinel parallel-syncs", MasterSet, "2",
		}}))
	}
	until(t, "the Sentinels know each other and the replicas", func() bool {
		return !slices.ContainsFunc(all.Sentinels, func(s *Server) bool {
			line := s.Info(t, "sentinel")["master0"]
			return !strings.Contains(line, "status=ok") ||
				!strings.Contains(line, fmt.Sprintf("slaves=%d,sentinels=%d", replicas, sentinels))
		})
	})
	all.AwaitReplicas(t, replicas)
	return all
}

// URL is how a client finds the primary.
func (all *Sentinels) URL() string {
	return all.Sentinels[0].URL() + "?master_set=" + MasterSet + others(all.Sentinels)
}

// Primary is the server that most Sentinels take for the primary. It may be down.
func (all *Sentinels) Primary(t limitertest.TB) (primary *Server) {
	t.Helper()
	until(t, "the Sentinels agree who is primary", func() bool {
		primary = all.agreed(t, quorum)
		return primary != nil
	})
	return primary
}

// agreed is the server that at least so many Sentinels take for the primary, or nil.
func (all *Sentinels) agreed(t limitertest.TB, least int) *Server {
	t.Helper()
	votes := map[string]int{}
	for _, s := range all.Sentinels {
		votes[s.believed(t)]++
	}
	for _, s := range all.Servers {
		if votes[s.Address()] >= least {
			return s
		}
	}
	return nil
}

// believed is the address of the server that a Sentinel takes for the primary.
func (s *Server) believed(t limitertest.TB) string {
	t.Helper()
	words, err := s.Try(t.Context(), "SENTINEL", "GET-MASTER-ADDR-BY-NAME", MasterSet).AsStrSlice()
	if err != nil || len(words) != 2 {
		return ""
	}
	return net.JoinHostPort(words[0], words[1])
}

// Failover has the Sentinels make another server the primary, whether the one that is has failed or
// not, and returns it. All Sentinels know it then. What was written last may be lost.
func (all *Sentinels) Failover(t limitertest.TB) (primary *Server) {
	t.Helper()
	from := all.Primary(t)
	until(t, "the Sentinels make another server the primary", func() bool {
		if first := all.Sentinels[0]; first.believed(t) == from.Address() {
			_ = first.Try(t.Context(), "SENTINEL", "FAILOVER", MasterSet) // or it is about to
		}
		primary = all.agreed(t, len(all.Sentinels))
		return primary != nil && primary != from && primary.role(t) == "master"
	})
	return primary
}

// AwaitReplicas waits until the primary has so many replicas that have all it wrote.
func (all *Sentinels) AwaitReplicas(t limitertest.TB, n int) {
	t.Helper()
	until(t, fmt.Sprintf("the primary has %d replicas in sync", n), func() bool {
		primary := all.Primary(t)
		inSync := 0
		for _, s := range all.Servers {
			if s != primary && s.follows(t, primary) {
				inSync++
			}
		}
		return inSync == n
	})
}

// role is "master" or "slave", or empty if there is no answer.
func (s *Server) role(t limitertest.TB) string { return s.replication(t)["role"] }
