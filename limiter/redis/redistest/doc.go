// Package redistest has what tests of the shared store need: real servers that fail on demand. It
// is for tests alone.
//
// A server is the redis-server of the PATH, or what SLUICE_REDIS_SERVER names, as valkey-server.
// Where there is none, the tests fail and say what to install; none is skipped. Servers end with
// the test, and with its process. Each listens on loopback, on a port that no other test gets.
//
//   - server.go: Server, one redis-server; options.go: how it is started.
//   - signals.go: killed, started again, frozen; orphans_linux.go, orphans_other.go: it ends with
//     its test's process.
//   - command.go: commands of the test's own, and what the server tells of itself.
//   - clock.go: a server whose TIME is shifted while it runs.
//   - tls.go: certificates.
//   - sentinels.go: a primary, two replicas and three Sentinels; replication.go: replication that
//     stops, so that a failover loses writes.
//   - cluster.go: three primaries that share the slots; slots.go: slots that move.
//   - proxy.go, proxy_pair.go: a network between client and server that fails.
//   - ports.go: ports for packages that are tested at the same time.
package redistest
