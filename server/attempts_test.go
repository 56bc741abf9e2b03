package server_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-mail/sluice/api/httpv1"
	"github.com/sluice-mail/sluice/limiter"
)

// TestAMessageIDWithAttempts sends a message whose first attempt failed: each attempt has an id of
// its own, made of the Message-ID.
func TestAMessageIDWithAttempts(t *testing.T) {
	a := newAPI(t, limiter.Policy{}, setup{})
	const first, second = `<4711.\"a\\b\"@example.com>`, `<4711.\"a\\b\"@example.com>/2`
	got := into[httpv1.CheckResponse](a.post("check", `{"id":"`+first+`"}`))
	if diff := cmp.Diff(`<4711."a\b"@example.com>`, got.Reservation.ID); diff != "" {
		t.Error(diff)
	}
	into[httpv1.ReleaseResponse](a.post("release", `{"reservation":"`+first+`"}`))
	a.post("check", `{"id":"`+first+`"}`).wantProblem(409, "reservation-conflict", "<id>/2")
	into[httpv1.CheckResponse](a.post("check", `{"id":"`+second+`"}`))
	into[httpv1.CommitResponse](a.post("commit", `{"reservation":"`+second+`","cost":1}`))
	batch := `{"checks":[{"namespace":"marketing","name":"newsletter","id":"` + first + `/3"}]}`
	if got := results(a.batch("/v1/check", batch)); got != "Allow" {
		t.Errorf("got %s", got)
	}
	if got := a.counted(); got != [4]int64{1, 1, 1, 1} {
		t.Errorf("counted %v", got)
	}
}

// TestAForgottenIDCountsWhatItsCommitSays is the edge of guarantee G5: when an id is forgotten, so
// is its cost.
func TestAForgottenIDCountsWhatItsCommitSays(t *testing.T) {
	for name, c := range map[string]struct {
		commit string
		used   int64
	}{
		"the cost, if it is given": {`{"reservation":"a","cost":5}`, 5},
		"1 if it is not":           {`{"reservation":"a"}`, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newBubble(t, limiter.Policy{}, setup{})
				into[httpv1.CheckResponse](a.post("check", `{"id":"a","cost":5}`))
				into[httpv1.ReleaseResponse](a.post("release", `{"reservation":"a"}`))
				time.Sleep(16 * time.Minute) // of the bubble's clock
				got := into[httpv1.CommitResponse](a.post("commit", c.commit))
				if got.Outcome != httpv1.Unreserved {
					t.Errorf("the outcome is %s", got.Outcome)
				}
				if got := a.counted(); got[1] != c.used {
					t.Errorf("counted %d, want %d", got[1], c.used)
				}
			})
		})
	}
}
