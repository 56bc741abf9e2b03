// Package limiter has the words of Sluice, and the gate that every check passes: which accounts
// there are, what policy each has, and whether the process may answer at all. What was sent and
// reserved is kept behind a seam, in a [Store]; limiter/memory is the exact engine, and
// limiter/limitertest holds every store to the same promises.
//
// Time is an argument: each call takes the [Instant] at which it happens. Only the standard library
// is imported.
//
// The files:
//
//   - policy.go, decision.go, usage.go, errors.go, instant.go: the words.
//   - store.go: the seam.
//   - limiter.go: the gate, and the calls that it hands to the store.
//   - accounts.go: how accounts come, change and go.
//   - account_map.go: name to account, read without a lock; key_order.go: the names in order, for
//     lists.
//   - calls.go: many calls at once, and lists.
//   - stats.go: counts for metrics.
package limiter
