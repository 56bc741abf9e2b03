package httpv1

import (
	"strconv"
	"time"
)

// The values of CheckResponse.Decision, and of Usage.Behavior ("Defer" or "Reject").
const (
	Allow  = "Allow"
	Defer  = "Defer"
	Reject = "Reject"
)

// ReasonSuspended is the CheckResponse.Reason of every denial by a suspended account.
const ReasonSuspended = "Suspended"

// The values of CommitResponse.Outcome; Released is that of ReleaseResponse.Outcome.
const (
	Committed  = "Committed"
	Late       = "Late"
	Unreserved = "Unreserved"
	Released   = "Released"
)

// Time is an instant as the API writes it: RFC 3339, in UTC, with milliseconds.
type Time struct{ time.Time }

// MarshalText writes the time in the API's form.
func (t Time) MarshalText() ([]byte, error) { return t.appendText(nil), nil }

// MarshalJSON writes the time in the API's form, in quotes.
func (t Time) MarshalJSON() ([]byte, error) { return t.appendJSON(nil), nil }

func (t Time) appendJSON(b []byte) []byte {
	return append(t.appendText(append(b, '"')), '"')
}

func (t Time) appendText(b []byte) []byte {
	// Package time formats RFC 3339 fast, but not with exactly three digits of a second.
	b = t.UTC().AppendFormat(b, time.RFC3339)
	millis := t.Nanosecond() / int(time.Millisecond)
	//nolint:gosec // each is a digit
	return append(b[:len(b)-1], '.',
		byte('0'+millis/100), byte('0'+millis/10%10), byte('0'+millis%10), 'Z')
}

// CheckResponse answers a check.
type CheckResponse struct {
	// Decision is Allow, Defer or Reject.
	Decision string `json:"decision"`
	// Reason is ReasonSuspended if the account is suspended, and empty otherwise.
	Reason string `json:"reason,omitempty"`
	// Remaining is the least that is left in any window. It is nil without limits, and in a denial.
	Remaining *int64 `json:"remaining,omitempty"`
	// Reservation is what an allowed check holds; nil in a denial.
	Reservation *Reservation `json:"reservation,omitempty"`
	// DeferredUntil is when to ask again after a denial, and RetryAfterMillis how long that is from
	// now. Both are nil if the account is suspended.
	DeferredUntil    *Time  `json:"deferredUntil,omitempty"`
	RetryAfterMillis *int64 `json:"retryAfterMillis,omitempty"`
	// Exhausted are the windows into which the check does not fit.
	Exhausted []ExhaustedWindow `json:"exhausted,omitempty"`
}

// Reservation is held until ExpiresAt. If nobody ends it before that, it counts as sent.
type Reservation struct {
	ID        string `json:"id"`
	Cost      int64  `json:"cost"`
	ExpiresAt Time   `json:"expiresAt"`
}

// ExhaustedWindow is a window into which a check does not fit, and when it will.
type ExhaustedWindow struct {
	Window   string `json:"window"`
	Limit    int64  `json:"limit"`
	Used     int64  `json:"used"`
	InFlight int64  `json:"inFlight"`
	FreeAt   Time   `json:"freeAt"`
}

// AppendJSON appends what a json.Encoder without HTML escaping would write, so that a Message-ID
// looks as the caller sent it. It uses no reflection: this is the response to every mail.
func (d *CheckResponse) AppendJSON(b []byte) []byte {
	b = append(b, `{"decision":"`...)
	b = append(b, d.Decision...)
	b = append(b, '"')
	if d.Reason != "" {
		b = append(b, `,"reason":"`...)
		b = append(b, d.Reason...)
		b = append(b, '"')
	}
	if d.Remaining != nil {
		b = appendInt(b, `,"remaining":`, *d.Remaining)
	}
	if r := d.Reservation; r != nil {
		b = appendID(append(b, `,"reservation":{"id":"`...), r.ID)
		b = appendInt(b, `","cost":`, r.Cost)
		b = append(b, `,"expiresAt":`...)
		b = append(r.ExpiresAt.appendJSON(b), '}')
	}
	if d.DeferredUntil != nil {
		b = append(b, `,"deferredUntil":`...)
		b = d.DeferredUntil.appendJSON(b)
	}
	if d.RetryAfterMillis != nil {
		b = appendInt(b, `,"retryAfterMillis":`, *d.RetryAfterMillis)
	}
	if len(d.Exhausted) > 0 {
		b = append(b, `,"exhausted":[`...)
		for i := range d.Exhausted {
			if i > 0 {
				b = append(b, ',')
			}
			b = d.Exhausted[i].appendJSON(b)
		}
		b = append(b, ']')
	}
	return append(b, '}')
}

func (w *ExhaustedWindow) appendJSON(b []byte) []byte {
	b = append(b, `{"window":"`...)
	b = append(b, w.Window...)
	b = appendInt(b, `","limit":`, w.Limit)
	b = appendInt(b, `,"used":`, w.Used)
	b = appendInt(b, `,"inFlight":`, w.InFlight)
	b = append(b, `,"freeAt":`...)
	return append(w.FreeAt.appendJSON(b), '}')
}

func appendInt(b []byte, name string, n int64) []byte {
	return strconv.AppendInt(append(b, name...), n, 10)
}

// CommitResponse answers a commit.
type CommitResponse struct {
	// Outcome is Committed, Late or Unreserved.
	Outcome string `json:"outcome"`
}

// ReleaseResponse answers a release.
type ReleaseResponse struct {
	// Outcome is Released: all else is a problem.
	Outcome string `json:"outcome"`
}

// AppendJSON appends what json.Marshal would write, without reflection.
func (r *CommitResponse) AppendJSON(b []byte) []byte { return appendOutcome(b, r.Outcome) }

// AppendJSON appends what json.Marshal would write, without reflection.
func (r *ReleaseResponse) AppendJSON(b []byte) []byte { return appendOutcome(b, r.Outcome) }

func appendOutcome(b []byte, outcome string) []byte {
	b = append(b, `{"outcome":"`...)
	b = append(b, outcome...)
	return append(b, `"}`...)
}

// Usage is the state of one account.
type Usage struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// Behavior is the Decision of a denied check: Defer or Reject.
	Behavior  string `json:"behavior"`
	Suspended bool   `json:"suspended"`
	// InFlight is the cost of the outstanding reservations.
	InFlight int64 `json:"inFlight"`
	// NextSlot is the earliest time at which a check of cost 1 is allowed; nil if that is now.
	NextSlot *Time `json:"nextSlot,omitempty"`
	// Windows are minute, hour and day, in this order.
	Windows []WindowUsage `json:"windows"`
}

// WindowUsage is the state of one window.
type WindowUsage struct {
	Window string `json:"window"`
	// Limit and Remaining are nil where there is no limit.
	Limit *int64 `json:"limit,omitempty"`
	// Used is the cost that was sent in the window, without what is in flight.
	Used      int64  `json:"used"`
	Remaining *int64 `json:"remaining,omitempty"`
	// FreeAt is when a cost of 1 fits into the window; nil if it does now, or without a limit.
	FreeAt *Time `json:"freeAt,omitempty"`
}

// ListResponse is one page of the list of accounts.
type ListResponse struct {
	Accounts []Usage `json:"accounts"`
	// Continue is the token to ask for the next page with; empty on the last.
	Continue string `json:"continue,omitempty"`
}
