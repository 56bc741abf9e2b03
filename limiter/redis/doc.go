// Package redis is the shared store: a [limiter.Store] on Redis 6.2 or Valkey 7.2, and newer, which
// many replicas use at a time. It keeps the rules of limiter/memory, to the nanosecond, in Lua: one
// script for each verb, and one round trip for each call. docs/design/0020-redis-layout.md draws
// the layout and says what was weighed.
//
// A call that gets no answer is [limiter.ErrStoreUnavailable]. Whether it took effect is not known;
// to repeat it with the same id is safe.
//
// The files:
//
//   - store.go: the store, and its accounts on this replica.
//   - account.go: the calls; arguments.go and answers.go: what goes to the scripts and comes back.
//   - call.go: one script call, and what is repeated.
//   - many.go: many calls in one round trip.
//   - held.go: how many reservations are outstanding, as far as this replica knows.
//   - lives.go: which life of an account a call means, where one uid comes back.
//   - denials.go: which checks are denied without a round trip.
//   - connect.go: the client, from a URL and files; link.go: the one in use.
//   - probe.go: what is asked of the server all the time; health.go: what follows for the calls.
//   - clock.go: the server's time, and what a replica believes of it.
//   - beats.go: whether the store is as it was a while ago.
//   - recent.go: what a server is told anew that may have lost it; telling.go: that it is.
//   - late.go: what is stored later; waiter.go: what waits for replicas and disks.
//   - metrics.go: what is counted.
//   - epoch.go: whether the store is the one that was written to; epoch_namespace.go: its parts.
//   - accept_loss.go: how to go on with another one; inspect.go: what operators may ask.
//   - scripts.go: the scripts, put together from the templates in lua/.
package redis
