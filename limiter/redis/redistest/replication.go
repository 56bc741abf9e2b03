package redistest

import (
	"fmt"

	"github.com/sluice-mail/sluice/limiter/limitertest"
)

// The user that replicas are to their primary.
const (
	replicationName     = "redistest-replica"
	replicationPassword = "redistest-replica-password"
	replicationRules    = replicationName + " on >" + replicationPassword + " +psync +replconf +ping"
)

// StopReplication has the primary send its replicas nothing more: what is written from now on gets
// lost in a failover. The Sentinels see all servers well.
func (all *Sentinels) StopReplication(t limitertest.TB) {
	t.Helper()
	primary := all.Primary(t)
	primary.Command(t, "ACL", "SETUSER", replicationName, "off")
	primary.Command(t, "CLIENT", "KILL", "USER", replicationName)
}

// Rejoin starts a server that was the primary and is down, as a replica of the one that is now. The
// Sentinels would make it one, too, but take 10 s for it.
func (all *Sentinels) Rejoin(t limitertest.TB, s *Server) {
	t.Helper()
	primary := all.Primary(t)
	s.Restart(t)
	s.Command(t, "REPLICAOF", primary.options.Host, fmt.Sprint(primary.port.number))
	s.Command(t, "ACL", "SETUSER", replicationName, "on") // undoes StopReplication
	until(t, "the server follows the primary", func() bool { return s.follows(t, primary) })
}

// replication is what a server tells of it, or nothing if there is no answer.
func (s *Server) replication(t limitertest.TB) map[string]string {
	if !s.running() {
		return nil
	}
	text, err := s.Try(t.Context(), "INFO", "replication").ToString()
	if err != nil {
		return nil
	}
	return fields(text)
}

// follows reports whether a server is a replica of another and has all that it wrote.
func (s *Server) follows(t limitertest.TB, primary *Server) bool {
	theirs := primary.replication(t)
	ours := s.replication(t)
	return ours["role"] == "slave" && ours["master_host"] == primary.options.Host &&
		ours["master_port"] == fmt.Sprint(primary.port.number) &&
		ours["master_link_status"] == "up" &&
		offset(ours["slave_repl_offset"]) >= offset(theirs["master_repl_offset"])
}

func offset(text string) (n int64) {
	_, _ = fmt.Sscan(text, &n)
	return n
}
