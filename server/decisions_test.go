package server_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/limitertest"
)

// step is one call about the newsletter, and the response that it must get: the body of a 200, or
// the status and the kind of a problem. A bubble begins at 2000-01-01T00:00:00Z, so that all times
// are known.
type step struct {
	pause      time.Duration // before the call
	call, body string
	want       string
	retryAfter string
}

// play makes the calls of a script, one after the other.
func play(t *testing.T, p limiter.Policy, script []step) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		a := newBubble(t, p, setup{})
		for i, s := range script {
			time.Sleep(s.pause) // of the bubble's clock
			var got response
			if s.call == "usage" {
				got = a.get("/v1/accounts/marketing/newsletter")
			} else {
				got = a.post(s.call, s.body)
			}
			said := got.body
			if got.status != 200 {
				said = fmt.Sprintln(got.status, got.problem().Type)
			}
			if diff := cmp.Diff(s.want+"\n", said); diff != "" {
				t.Errorf("step %d, %s %s:\n%s", i, s.call, s.body, diff)
			}
			if diff := cmp.Diff(s.retryAfter, got.header.Get("Retry-After")); diff != "" {
				t.Errorf("step %d, %s %s: Retry-After:\n%s", i, s.call, s.body, diff)
			}
		}
	})
}

func TestAllow(t *testing.T) {
	for name, c := range map[string]struct {
		limits limiter.Limits
		script []step
	}{
		"an empty body is a cost of 1, held for two minutes": {limitertest.Limits(3, 0, 0), []step{
			{
				0, "check", `{"id":"a"}`,
				`{"decision":"Allow","remaining":2,"reservation":{"id":"a","cost":1,` +
					`"expiresAt":"2000-01-01T00:02:00.000Z"}}`,
				"",
			},
		}},
		"the cost and the time are those asked for": {limitertest.Limits(3, 0, 0), []step{
			{
				0, "check", `{"id":"a","cost":3,"ttlSeconds":900}`,
				`{"decision":"Allow","remaining":0,"reservation":{"id":"a","cost":3,` +
					`"expiresAt":"2000-01-01T00:15:00.000Z"}}`,
				"",
			},
		}},
		"what remains is the least of the windows": {limitertest.Limits(9, 4, 6), []step{
			{
				0, "check", `{"id":"a"}`,
				`{"decision":"Allow","remaining":3,"reservation":{"id":"a","cost":1,` +
					`"expiresAt":"2000-01-01T00:02:00.000Z"}}`,
				"",
			},
		}},
		"without limits nothing is said to remain": {limiter.Limits{}, []step{
			{
				0, "check", `{"id":"a"}`,
				`{"decision":"Allow","reservation":{"id":"a","cost":1,` +
					`"expiresAt":"2000-01-01T00:02:00.000Z"}}`,
				"",
			},
		}},
		"a check that is repeated gets its reservation, not another": {
			limitertest.Limits(3, 0, 0),
			[]step{
				{
					0, "check", `{"id":"a","cost":2}`,
					`{"decision":"Allow","remaining":1,"reservation":{"id":"a","cost":2,` +
						`"expiresAt":"2000-01-01T00:02:00.000Z"}}`,
					"",
				},
				{
					time.Minute, "check", `{"id":"a","cost":2,"ttlSeconds":900}`,
					`{"decision":"Allow","remaining":1,"reservation":{"id":"a","cost":2,` +
						`"expiresAt":"2000-01-01T00:02:00.000Z"}}`,
					"",
				},
			},
		},
		"a time between two milliseconds is told as the one before, so that nobody commits late": {
			limiter.Limits{},
			[]step{
				{
					1999 * time.Microsecond, "check", `{"id":"a"}`,
					`{"decision":"Allow","reservation":{"id":"a","cost":1,` +
						`"expiresAt":"2000-01-01T00:02:00.001Z"}}`,
					"",
				},
			},
		},
	} {
		t.Run(name, func(t *testing.T) { play(t, limiter.Policy{Limits: c.limits}, c.script) })
	}
}

func TestDeny(t *testing.T) {
	const allowed = `{"decision":"Allow","remaining":0,"reservation":{"id":"a","cost":1,` +
		`"expiresAt":"2000-01-01T00:02:00.000Z"}}`
	full := []step{
		{0, "check", `{"id":"a"}`, allowed, ""},
		{0, "commit", `{"reservation":"a"}`, `{"outcome":"Committed"}`, ""},
	}
	for name, c := range map[string]struct {
		policy limiter.Policy
		before []step
		denied step
	}{
		"a defer says when, how long, and for what": {
			limiter.Policy{Limits: limitertest.Limits(1, 0, 0)}, full,
			step{
				47655 * time.Millisecond, "check", "",
				`{"decision":"Defer","deferredUntil":"2000-01-01T00:01:00.000Z",` +
					`"retryAfterMillis":12345,"exhausted":[{"window":"minute","limit":1,` +
					`"used":1,"inFlight":0,"freeAt":"2000-01-01T00:01:00.000Z"}]}`,
				"13",
			},
		},
		"a reject says the same": {
			limiter.Policy{Limits: limitertest.Limits(1, 0, 0), Behavior: limiter.Reject}, full,
			step{
				48 * time.Second, "check", "",
				`{"decision":"Reject","deferredUntil":"2000-01-01T00:01:00.000Z",` +
					`"retryAfterMillis":12000,"exhausted":[{"window":"minute","limit":1,` +
					`"used":1,"inFlight":0,"freeAt":"2000-01-01T00:01:00.000Z"}]}`,
				"12",
			},
		},
		"the last of the exhausted windows to have room decides": {
			limiter.Policy{Limits: limitertest.Limits(1, 2, 1)}, full,
			step{
				time.Second, "check", "",
				`{"decision":"Defer","deferredUntil":"2000-01-02T00:00:00.000Z",` +
					`"retryAfterMillis":86399000,"exhausted":[{"window":"minute","limit":1,` +
					`"used":1,"inFlight":0,"freeAt":"2000-01-01T00:01:00.000Z"},` +
					`{"window":"day","limit":1,"used":1,"inFlight":0,` +
					`"freeAt":"2000-01-02T00:00:00.000Z"}]}`,
				"86399",
			},
		},
		"what is in flight might be committed now": {
			limiter.Policy{Limits: limitertest.Limits(1, 0, 0)}, full[:1],
			step{
				time.Second, "check", "",
				`{"decision":"Defer","deferredUntil":"2000-01-01T00:01:01.000Z",` +
					`"retryAfterMillis":60000,"exhausted":[{"window":"minute","limit":1,` +
					`"used":0,"inFlight":1,"freeAt":"2000-01-01T00:01:01.000Z"}]}`,
				"60",
			},
		},
		"what frees between two milliseconds is told as the one after": {
			limiter.Policy{Limits: limitertest.Limits(1, 0, 0)}, full[:1],
			step{
				400 * time.Microsecond, "check", "",
				`{"decision":"Defer","deferredUntil":"2000-01-01T00:01:00.001Z",` +
					`"retryAfterMillis":60001,"exhausted":[{"window":"minute","limit":1,` +
					`"used":0,"inFlight":1,"freeAt":"2000-01-01T00:01:00.001Z"}]}`,
				"61",
			},
		},
		"the boundary of a window, if the account wants that": {
			limiter.Policy{Limits: limitertest.Limits(0, 1, 0), DeferTo: limiter.WindowBoundary}, full,
			step{
				time.Minute, "check", "",
				`{"decision":"Defer","deferredUntil":"2000-01-01T01:00:00.000Z",` +
					`"retryAfterMillis":3540000,"exhausted":[{"window":"hour","limit":1,` +
					`"used":1,"inFlight":0,"freeAt":"2000-01-01T01:00:00.000Z"}]}`,
				"3540",
			},
		},
		"a suspended account defers until nobody knows when": {limiter.Policy{Suspended: true}, nil,
			step{0, "check", "", `{"decision":"Defer","reason":"Suspended"}`, "60"}},
		"a suspended account rejects if that is its behavior": {
			limiter.Policy{Suspended: true, Behavior: limiter.Reject}, nil,
			step{0, "check", "", `{"decision":"Reject","reason":"Suspended"}`, "60"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, c.policy, append(append([]step(nil), c.before...), c.denied))
		})
	}
}

func TestEnds(t *testing.T) {
	const (
		allowA = `{"decision":"Allow","reservation":{"id":"a","cost":2,` +
			`"expiresAt":"2000-01-01T00:00:05.000Z"}}`
		allowB = `{"decision":"Allow","reservation":{"id":"b","cost":1,` +
			`"expiresAt":"2000-01-01T00:02:00.000Z"}}`
		committed   = `{"outcome":"Committed"}`
		late        = `{"outcome":"Late"}`
		unreserved  = `{"outcome":"Unreserved"}`
		releasedOut = `{"outcome":"Released"}`
	)
	checkA := step{0, "check", `{"id":"a","cost":2,"ttlSeconds":5}`, allowA, ""}
	checkB := step{0, "check", `{"id":"b"}`, allowB, ""}
	for name, script := range map[string][]step{
		"a commit repeated says the same": {
			checkA, {0, "commit", `{"reservation":"a"}`, committed, ""},
			{time.Minute, "commit", `{"reservation":"a"}`, committed, ""},
		},
		"a commit after the deadline is late": {
			checkA, {5 * time.Second, "commit", `{"reservation":"a"}`, late, ""},
			{0, "commit", `{"reservation":"a"}`, late, ""},
		},
		"a commit just before the deadline isn't": {
			checkA, {5*time.Second - 1, "commit", `{"reservation":"a","cost":1}`, committed, ""},
		},
		"a commit of none is recorded": {
			{0, "commit", "", unreserved, ""}, {0, "commit", `{}`, unreserved, ""},
		},
		"a commit of an unknown id is recorded": {
			{0, "commit", `{"reservation":"a","cost":7}`, unreserved, ""},
			{0, "commit", `{"reservation":"a","cost":7}`, unreserved, ""},
		},
		"a commit without an id is of the oldest": {
			checkB, checkA, {0, "commit", "", committed, ""},
			{0, "release", `{"reservation":"b"}`, "409 reservation-conflict", ""},
		},
		"a release repeated says the same": {
			checkA, {0, "release", `{"reservation":"a"}`, releasedOut, ""},
			{0, "release", `{"reservation":"a"}`, releasedOut, ""},
		},
		"a release without an id is of the oldest": {
			checkB, checkA, {0, "release", "", releasedOut, ""},
			{0, "commit", `{"reservation":"a"}`, committed, ""},
			{0, "release", "", "404 reservation-not-found", ""},
		},
		"a release is refused after the deadline": {
			checkA,
			{5 * time.Second, "release", `{"reservation":"a"}`, "409 reservation-conflict", ""},
		},
		"a release is refused after the commit": {
			checkA, {0, "commit", `{"reservation":"a"}`, committed, ""},
			{0, "release", `{"reservation":"a"}`, "409 reservation-conflict", ""},
		},
		"a release of an unknown id is refused": {
			checkA, {0, "release", `{"reservation":"b"}`, "404 reservation-not-found", ""},
		},
		"an id that is held has one cost": {
			checkA, {0, "check", `{"id":"a","cost":1}`, "409 reservation-conflict", ""},
		},
		"an id that was committed is used up": {
			checkA, {0, "commit", `{"reservation":"a"}`, committed, ""},
			{0, "check", `{"id":"a","cost":2}`, "409 reservation-conflict", ""},
		},
		"an id that was released is used up": {
			checkA, {0, "release", `{"reservation":"a"}`, releasedOut, ""},
			{0, "check", `{"id":"a","cost":2}`, "409 reservation-conflict", ""},
		},
		"an id that expired is used up": {
			checkA,
			{5 * time.Second, "check", `{"id":"a","cost":2}`, "409 reservation-conflict", ""},
		},
	} {
		t.Run(name, func(t *testing.T) { play(t, limiter.Policy{}, script) })
	}
}
