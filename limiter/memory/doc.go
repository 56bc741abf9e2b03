// Package memory is the exact engine: a [limiter.Store] that keeps everything in memory, in
// integers, so that at every instant, for every limited window W of an account,
//
//	stamped in (now-W, now]  +  outstanding  <=  limit
//
// Time is an argument: each call takes the [limiter.Instant] at which it happens, so that every
// test is a timeline. [Store.RunExpiry] and [Store.RunSweep] alone wait for time to pass. Only the
// standard library and package limiter are imported.
//
// The files, from the inside out:
//
//   - history.go: the sends of one account, as running sums; where its windows slide.
//   - merging.go: how a history stays within its bounds.
//   - message_sums.go: running sums of messages, where they differ from those of cost.
//   - reservations.go: the reservations of one account: those outstanding (outstanding.go), and the
//     ids of those that ended lately (ended_ids.go). Both find ids by the tables of id_table.go.
//   - account.go: one account under one lock, and how it comes to the present.
//   - check.go, commit.go, usage.go: what calls do to it.
//   - reservation_cap.go: the bound on the outstanding reservations of all accounts together.
//   - deadlines.go: reservations become sends when they fall due, also if nobody asks.
//   - effects.go: what calls changed, for a store that writes it down, and replays it.
//   - image.go: all that an account holds, as bytes.
//   - sweep.go: memory that nobody needs any more is given back.
//   - store.go: the accounts, and what they share.
package memory
