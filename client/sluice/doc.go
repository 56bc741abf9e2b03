// Package sluice is the Go client of Sluice's HTTP API, version 1. Requests and responses are the
// types of package httpv1.
//
// A dispatcher checks before it sends a mail, and commits once the mail has left:
//
//	attempt := messageID // and messageID + "/2" for the next attempt
//	decision, err := client.Check(ctx, account, httpv1.CheckRequest{ID: &attempt})
//	if err != nil {
//		return err // no decision: do not send
//	}
//	if decision.Decision != httpv1.Allow {
//		return deferUntil(decision.DeferredUntil)
//	}
//	if err := send(mail); err != nil {
//		_, _ = client.Release(ctx, account, httpv1.ReleaseRequest{Reservation: &attempt})
//		return err
//	}
//	_, err = client.Commit(ctx, account, httpv1.CommitRequest{Reservation: &attempt})
//
// A denied check is no error: it is a decision. An error means that there is no decision.
//
// The client repeats a call that Sluice could not answer; see [Retry]. A repeated call counts once,
// because it names its reservation: a check by its ID, a commit or release by its Reservation.
//
// The client uses the time of package time alone, so tests can run it in a testing/synctest bubble.
//
//   - client.go: the client and its options.
//   - calls.go, batches.go, list.go: the calls of the API.
//   - transport.go: the connections.
//   - attempt.go: one HTTP request, and what its response means.
//   - token.go: the token that says who calls.
//   - retry.go: when a call is repeated.
//   - errors.go: the errors.
package sluice
