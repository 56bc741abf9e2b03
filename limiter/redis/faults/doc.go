// Package faults tests the shared store on real servers that fail, with real replicas and callers
// that never stop sending. It has nothing but tests.
//
// Each test ends with a provider that counted every mail which was let through: no window may hold
// more than its limit, what was let through must be known to the store, and what was asked again
// must count once. Some faults let more through; the test says how much, and wants no more than
// that:
//
//	the server is killed, with an AOF
//	    nothing
//	it starts empty, and an operator accepts that
//	    all that was sent before, but for what replicas that live on were told in the last 60 s
//	a failover
//	    what a replica was told that died, too, if no replica of the primary has got it; nothing
//	    where checks wait for one that has (redis.Wait)
//	the server's clock jumps
//	    once, a window is half a second shorter
//	any other
//	    nothing
//
// The files:
//
//   - replica_test.go: a replica of Sluice; load_test.go: the callers, and the provider's judgment.
//   - restart_test.go, lost_test.go: killed, emptied and replaced servers; told_test.go: operators
//     hear of it.
//   - frozen_test.go, readonly_test.go, scripts_test.go, memory_test.go: servers that do not
//     answer, or not as they should.
//   - credentials_test.go: passwords that are wrong or change, and TLS; rights_test.go: no more
//     rights than are needed.
//   - failover_test.go, cluster_test.go: many servers.
//   - network_test.go, partition_test.go: networks that fail; namespaces_test.go: one that fails in
//     the kernel, with -tags faults, as that needs root.
//   - clock_test.go: clocks that jump.
//   - replicas_test.go: many callers at once.
package faults
