package limitertest

import (
	"testing"

	"github.com/sluice-mail/sluice/limiter"
)

// testPredecessor is what the RateLimiter of the mail proxy before did, for those who come from it.
func (s suite) testPredecessor(t *testing.T) {
	s.playAll(t, map[string]timelineCase{
		"an account without limits allows": {limiter.Policy{}, `
			0s  check a -> allow
			0s  commit a -> committed
			0s  check b -> allow`},
		"the first send is allowed": {perMinute(1), `0s check a -> allow 0`},
		"a commit records": {
			perMinute(9),
			"0s check a -> allow 8\n 0s commit a -> committed\n 0s usage -> 1/1/1 + 0",
		},
		"a release frees": {
			perMinute(1),
			"0s check a -> allow 0\n 0s release -> released\n 0s check b -> allow 0",
		},
		"a release of an unknown account is harmless": {
			perMinute(1),
			`0s release account=other -> no account`,
		},
		"the minute's limit defers": {
			limiter.Policy{Limits: Limits(1, 0, 0)},
			"0s commit -> unreserved\n 0s check a -> defer 1m0s",
		},
		"the hour's limit defers": {
			limiter.Policy{Limits: Limits(0, 1, 0)},
			"0s commit -> unreserved\n 0s check a -> defer 1h0m0s",
		},
		"the day's limit defers": {
			limiter.Policy{Limits: Limits(0, 0, 1)},
			"0s commit -> unreserved\n 0s check a -> defer 24h0m0s",
		},
		"reject instead of defer": {
			limiter.Policy{Limits: Limits(1, 0, 0), Behavior: limiter.Reject},
			"0s commit -> unreserved\n 0s check a -> reject 1m0s",
		},
		"sends outside the window do not count": {limiter.Policy{Limits: Limits(1, 2, 0)}, `
			0s   commit  -> unreserved
			60s  check a -> allow 0`},
		"what is in flight counts": {
			perMinute(1),
			"0s check a -> allow 0\n 0s check b -> defer 1m0s",
		},
		"a commit ends its flight": {
			perMinute(9),
			"0s check a -> allow 8\n 0s commit a -> committed\n 0s usage -> 1/1/1 + 0",
		},
		"old history is dropped": {limiter.Policy{}, `
			0s   commit -> unreserved
			1s   commit -> unreserved
			24h  sweep
			24h  purge  -> 1`},
		"a purge returns how many entries it cleared": {limiter.Policy{}, `
			0s  commit  -> unreserved
			1s  commit  -> unreserved
			2s  check a -> allow
			2s  purge   -> 3
			2s  purge   -> 0`},
		"accounts are independent": {perMinute(1), `
			0s  apply account=other uid=uid-9 minute=1 -> changed
			0s  check a               -> allow 0
			0s  check a account=other -> allow 0
			0s  check b account=other -> defer 1m0s
			0s  purge                 -> 1
			0s  usage account=other   -> 0/0/0 + 1`},
		"limits of zero and less are none": {limiter.Policy{Limits: Limits(0, -1, -5)}, `
			0s  commit  -> unreserved
			0s  check a -> allow`},
		// 07:58:12.5 is 47.5 s before the minute, 1m47.5s before the hour.
		"the first exceeded of minute, hour, day decides the boundary": {
			limiter.Policy{Limits: Limits(0, 1, 1), DeferTo: limiter.WindowBoundary}, `
			0s  commit  -> unreserved
			0s  check a -> defer 1m47.5s`},
		"the minute before the hour": {
			limiter.Policy{Limits: Limits(1, 1, 1), DeferTo: limiter.WindowBoundary}, `
			0s  commit  -> unreserved
			0s  check a -> defer 47.5s`},
		"the day last": {
			limiter.Policy{Limits: Limits(0, 0, 1), DeferTo: limiter.WindowBoundary}, `
			0s  commit  -> unreserved
			0s  check a -> defer 16h1m47.5s`},
	})
}
