// Package memory is the exact sliding-window limiter at the heart of Sluice.
//
// It decides whether a mail account may send now, holds the slot of each allowed send until the caller commits or
// releases it, and remembers a day of sends per account, so that at every instant, for every limited window W,
//
//	cost stamped in (now-W, now]  +  cost of outstanding reservations  <=  limit
//
// Everything is in memory and in integers. Time is an argument: each call takes the [Instant] at which it happens, so
// every test is a timeline; [Limiter.RunExpiry] and [Limiter.RunSweep] alone wait for time to pass. Only the standard
// library is imported.
//
// The files, from the inside out:
//
//   - history.go: the committed sends of one account, with a running total per window.
//   - reservations.go: the reservations of one account: those outstanding (outstanding.go, found through id_table.go), and the
//     ids that ended lately (ended_ids.go).
//   - account.go: the decision: one account's policy, history and reservations under one lock.
//   - account_map.go: name to account, read without a lock; key_order.go: the names in order, for lists.
//   - reservation_cap.go: the bound on the outstanding reservations of all accounts together.
//   - deadlines.go: reservations become sends when they fall due, also if nobody asks.
//   - limiter.go, usage.go, sweep.go, stats.go: the calls that the rest of Sluice makes.
package memory
