package server_test

import (
	"encoding/json"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sluice-mail/sluice/limiter"
	"github.com/sluice-mail/sluice/limiter/limitertest"
	"github.com/sluice-mail/sluice/server"
)

// TestTimesOnTheWire wants the time in a response to be the first whole millisecond after the wait,
// on the wall clock as it is then, wherever a step has moved it.
func TestTimesOnTheWire(t *testing.T) {
	days := rapid.Int64Range(0, 80_000) // to the year 2189
	rapid.Check(t, func(t *rapid.T) {
		seconds := []int64{1<<31 - 1, days.Draw(t, "day") * 86_400}
		day := time.Unix(rapid.SampledFrom(seconds).Draw(t, "second"), 0)
		ofDay := rapid.Int64Range(0, int64(24*time.Hour)).Draw(t, "time of day")
		now := day.Add(time.Duration(ofDay))
		wait := time.Duration(rapid.Int64Range(1, int64(24*time.Hour)).Draw(t, "wait"))
		until, millis := server.After(limiter.Instant{Wall: now.UnixNano()}, wait)
		text, err := json.Marshal(until)
		if err != nil {
			t.Fatal(err)
		}
		var told time.Time
		if err := json.Unmarshal(text, &told); err != nil {
			t.Fatal(err)
		}
		if late := told.Sub(now.Add(wait)); late < 0 || late >= time.Millisecond {
			t.Errorf("at %v a wait of %v is until %s", now, wait, text)
		}
		late := now.Add(time.Duration(millis) * time.Millisecond).Sub(told)
		if late < 0 || late >= time.Millisecond {
			t.Errorf("at %v a wait until %s is %d ms", now, text, millis)
		}
	})
}

// TestTheYear2038 is a minute in which the seconds of the Unix epoch outgrow 31 bits.
func TestTheYear2038(t *testing.T) {
	until := time.Unix(1<<31, 0).Sub(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)) - time.Second/2
	denied := func(retryAfter string) string {
		return `{"decision":"Defer","deferredUntil":"2038-01-19T03:15:07.500Z",` +
			`"retryAfterMillis":` + retryAfter +
			`,"exhausted":[{"window":"minute","limit":1,"used":1,"inFlight":0,` +
			`"freeAt":"2038-01-19T03:15:07.500Z"}]}`
	}
	play(t, limiter.Policy{Limits: limitertest.Limits(1, 0, 0)}, []step{
		{
			until, "check", `{"id":"a","ttlSeconds":1}`,
			`{"decision":"Allow","remaining":0,"reservation":{"id":"a","cost":1,` +
				`"expiresAt":"2038-01-19T03:14:08.500Z"}}`,
			"",
		},
		{0, "commit", `{"reservation":"a"}`, `{"outcome":"Committed"}`, ""},
		{0, "check", "", denied("60000"), "60"},
		{time.Second, "check", "", denied("59000"), "59"},
		{59*time.Second - time.Millisecond, "check", "", denied("1"), "1"},
		{
			time.Millisecond, "check", `{"id":"b"}`,
			`{"decision":"Allow","remaining":0,"reservation":{"id":"b","cost":1,` +
				`"expiresAt":"2038-01-19T03:17:07.500Z"}}`,
			"",
		},
	})
}
