package main

import (
	"testing"
	"time"
)

// The observer must notice: a test that trusts it could otherwise pass whatever was sent.
func TestTheFullestMinute(t *testing.T) {
	for why, test := range map[string]struct {
		millis []int // when mails leave
		most   int
	}{
		"one mail":                       {[]int{0}, 1},
		"a minute ends before its end":   {[]int{0, 60_000}, 1},
		"but not a millisecond earlier":  {[]int{0, 59_999}, 2},
		"it begins wherever it is worst": {[]int{0, 30_000, 40_000, 85_000, 89_999, 200_000}, 4},
		"and stays when it is over":      {[]int{0, 1, 2, 100_000, 300_000}, 3},
	} {
		t.Run(why, func(t *testing.T) {
			var o outbox
			for _, millis := range test.millis {
				o.leave(func() time.Time { return time.UnixMilli(int64(millis)) })
			}
			if o.Most != test.most || o.Sent != len(test.millis) {
				t.Errorf("got %d of %d, want %d of %d", o.Most, o.Sent, test.most, len(test.millis))
			}
		})
	}
}
